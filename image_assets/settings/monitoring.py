"""What is told of a dataset to programs that watch it."""

from pydantic import Field

from image_assets.settings.section import Section


class MonitoringSettings(Section):
    """Numbers for Prometheus; everything is off unless it is asked for."""

    textfile: str | None = Field(
        None,
        pattern=r"^[^:]+\.prom$",
        description="File (`….prom`, relative to the settings file) that each run writes for Prometheus' node "
        "exporter; none: no file.",
    )
