"""Thresholds of the quality checks."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from image_assets.settings.section import Section


class QualityShareSettings(Section):
    """How much of something a quality check lets pass."""

    max_fraction: float = Field(0.05, ge=0, le=1, description="Above this part of the images (0-1) the check fails.")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class DarkSettings(QualityShareSettings):
    """Which images are dark."""

    below_luma: int = Field(100, ge=0, le=255, description="So dark is even the 95th percentile of the luma (0-255).")


class BrightSettings(QualityShareSettings):
    """Which images are overexposed, or nearly white."""

    white_fraction: float = Field(
        0.5, gt=0, le=1, description="Part of the pixels (0-1) whose luma is 250 or more, within a white ground."
    )


class BlurrySettings(QualityShareSettings):
    """Which images are blurred."""

    above: float = Field(0.42, ge=0, le=1, description="Crete's blur (0-1): how little a further blur changes.")


class LowInformationSettings(QualityShareSettings):
    """Which images show nearly nothing."""

    below_bits: float = Field(2.0, ge=0, le=8, description="Entropy of the luma's histogram (0-8).")


class OddSizeSettings(QualityShareSettings):
    """Which raw images are of an odd size."""

    factor: float = Field(4.0, gt=1, description="So many times larger or smaller (in px a side) than the median.")


class OddAspectRatioSettings(QualityShareSettings):
    """Which raw images are oblong."""

    above: float = Field(3.0, ge=1, description="The longer side over the shorter.")


class GrayscaleSettings(QualityShareSettings):
    """Which images of a colour dataset are gray."""

    below_colourfulness: float = Field(0.5, ge=0, description="Hasler's and Süsstrunk's: 0 is gray, 30 usual.")


class ClassBalanceSettings(Section):
    """How unequal labels may be."""

    max_ratio: float = Field(20.0, ge=1, description="Images of the most frequent label over those of the rarest.")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class LabelCoverageSettings(Section):
    """How many images must have a label."""

    min_fraction: float = Field(0.95, ge=0, le=1, description="Below this labelled part (0-1) the check fails.")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class StabilitySettings(Section):
    """How far a histogram may move."""

    max_psi: float = Field(0.25, gt=0, description="Population stability index; 0.1 is a small shift, 0.25 a big one.")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class LabelDriftSettings(Section):
    """How far the shares of labels may move."""

    max_distance: float = Field(0.2, gt=0, le=1, description="Jensen-Shannon distance (0-1).")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class QualitySettings(Section):
    """What is measured of each image, and when a check of all of them fails."""

    enabled: bool = Field(False, description="Measure the images of each new index and judge them.")
    min_flagged: int = Field(3, ge=1, description="Fewer images than this never make a check fail.")
    baseline: str = Field(
        "previous", description="Snapshot that drift is told against: previous, its number, or 8 digits of its digest."
    )
    min_images: int = Field(100, ge=1, description="Snapshots with fewer images are not compared.")
    dark: DarkSettings = DarkSettings()
    bright: BrightSettings = BrightSettings()
    blurry: BlurrySettings = BlurrySettings()
    low_information: LowInformationSettings = LowInformationSettings()
    odd_size: OddSizeSettings = OddSizeSettings()
    odd_aspect_ratio: OddAspectRatioSettings = OddAspectRatioSettings()
    grayscale: GrayscaleSettings = GrayscaleSettings()
    wrong_extension: QualityShareSettings = QualityShareSettings()
    exact_duplicates: QualityShareSettings = QualityShareSettings()
    near_duplicates: QualityShareSettings = QualityShareSettings()
    class_balance: ClassBalanceSettings = ClassBalanceSettings()
    label_coverage: LabelCoverageSettings = LabelCoverageSettings()
    pixel_drift: StabilitySettings = StabilitySettings()
    size_drift: StabilitySettings = StabilitySettings()
    label_drift: LabelDriftSettings = LabelDriftSettings()

    @model_validator(mode="before")
    @classmethod
    def _number_as_text(cls, content: Any) -> Any:
        """Take a bare number for the number of a snapshot."""
        if isinstance(content, Mapping) and type(content.get("baseline")) is int:
            return {**content, "baseline": str(content["baseline"])}
        return content
