"""What the dataset report shows, and how large it may become."""

from pydantic import Field

from image_assets.settings.section import Section


class ReportSettings(Section):
    """A page of HTML about the dataset, for people without Dagster."""

    enabled: bool = Field(False, description="Write `report.html` into the store with each new index.")
    labels: int = Field(24, ge=0, le=1000, description="So many labels, the most frequent, have a sheet of pictures.")
    images_per_label: int = Field(12, ge=1, le=200, description="Pictures on the sheet of one label.")
    picture_px: int = Field(160, ge=32, le=512, description="The longer side of a picture.")
    max_mb: float = Field(
        8.0, ge=0.05, le=200, description="Megabytes (10^6) of pictures; the least important are left out."
    )
