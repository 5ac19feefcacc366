"""Which images train and which measure."""

from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from image_assets.core.times import time_of
from image_assets.settings.section import Section

# What is known of an image beside its pixels: ``folder`` is where its key lies, ``top_folder`` the first part of it.
_SPLIT_COLUMN = r"^(extra\..+|folder|top_folder|label|taken_at|camera_make|camera_model)$"


class SplitFractions(Section):
    """How large the splits shall be."""

    train: float = Field(0.8, ge=0, le=1, description="Fraction (0-1) of the images to train with.")
    val: float = Field(0.1, ge=0, le=1, description="Fraction (0-1) of the images to choose models by.")
    test: float = Field(0.1, ge=0, le=1, description="Fraction (0-1) of the images to measure at the end.")

    @model_validator(mode="after")
    def _make_up_a_whole(self) -> "SplitFractions":
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise ValueError(f"splits.fractions add up to {self.train + self.val + self.test:g}, not to 1")
        return self


class SplitSettings(Section):
    """Which images train, and which measure: duplicates never come apart, and no image changes sides."""

    method: Literal["none", "fractions", "column", "time"] = Field(
        "none", description="fractions: drawn; column: a column says it; time: by when images were taken."
    )
    fractions: SplitFractions = SplitFractions()
    stratify: bool = Field(True, description="Give every label the same fractions; only with method: fractions.")
    group_by: str | None = Field(
        None,
        pattern=_SPLIT_COLUMN,
        description="Column whose equal values stay together: extra.patient, folder, camera_model.",
    )
    column: str | None = Field(
        None,
        pattern=_SPLIT_COLUMN,
        description="Column that names the split: top_folder, extra.split; with method: time the time [taken_at].",
    )
    val_from: str | None = Field(None, description="Images taken from this time on (ISO 8601) are val; method: time.")
    test_from: str | None = Field(None, description="Images taken from this time on (ISO 8601) are test; method: time.")

    @model_validator(mode="after")
    def _what_the_method_needs(self) -> "SplitSettings":
        if self.method == "column" and not self.column:
            raise ValueError("splits.method: column needs splits.column, the column that names the split")
        times = (self.val_from, self.test_from)
        if (self.method == "time") != (times != (None, None)):
            raise ValueError("splits.method: time goes with splits.val_from or splits.test_from")
        starts = [time_of(text) for text in filter(None, times)]
        if None in starts:
            wrong = next(text for text in times if text and time_of(text) is None)
            raise ValueError(f"splits: {wrong!r} is no time; write 2024-05-31 or 2024-05-31T12:00:00")
        if starts != sorted(filter(None, starts)):
            raise ValueError("splits.val_from is after splits.test_from; the order is train, val, test")
        return self

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> "SplitSettings":
        if self.column and self.method not in ("column", "time"):
            raise ValueError(f"splits.column goes with splits.method: column or time, not {self.method}")
        if self.group_by and self.method == "none":
            raise ValueError("splits.group_by wants a splits.method: fractions, column or time")
        return self

    @field_validator("val_from", "test_from", mode="before")
    @classmethod
    def _time_as_text(cls, value: Any) -> Any:
        # What YAML takes for a date or a time is one.
        return value.isoformat() if isinstance(value, date) else value
