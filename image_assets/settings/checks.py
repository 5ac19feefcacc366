"""Thresholds of the checks that stop what is wrong from being published."""

from pydantic import Field

from image_assets.settings.section import Section


class FailedFractionSettings(Section):
    """When failed images make a check warn or stop a shard."""

    warn: float = Field(0.01, ge=0, le=1, description="Above this failed fraction (0-1) the check warns.")
    error: float = Field(0.25, ge=0, le=1, description="Above this failed fraction (0-1) the shard is not published.")
    min_failed: int = Field(3, ge=1, description="Fewer failed images than this never stop a shard.")


class LostFractionSettings(Section):
    """When a shrunken source stops a run."""

    error: float = Field(
        0.3, ge=0, le=1, description="Above this lost fraction (0-1) nothing is deleted unless it is confirmed."
    )
    min_lost: int = Field(3, ge=1, description="Fewer lost images than this are never asked about.")


class SplitsEvenSettings(Section):
    """When the splits of a label make a check warn."""

    tolerance: float = Field(
        0.05, ge=0, le=1, description="A label may differ by this fraction of its images (0-1), and by two images."
    )


class CheckSettings(Section):
    """Thresholds of the checks."""

    lost_fraction: LostFractionSettings = LostFractionSettings()
    failed_fraction: FailedFractionSettings = FailedFractionSettings()
    splits_even: SplitsEvenSettings = SplitsEvenSettings()
