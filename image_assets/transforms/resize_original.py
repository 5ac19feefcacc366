"""A resize of the original, before the fit makes the output's size of it."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from image_assets.core.errors import DecodeError
from image_assets.core.geometry import scaling
from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform

# As many as limits.max_pixels allows by default: a long strip scaled up by its short side must not fill memory.
_MOST_PIXELS = 178_956_970


class Resize(Transform):
    """Resamples the upright original to a width, a height, or both; with one of them the other keeps the ratio."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = False

    width_px: int | None = Field(None, ge=1, le=16384, description="New width; none: by the height, ratio kept.")
    height_px: int | None = Field(None, ge=1, le=16384, description="New height; none: by the width, ratio kept.")
    filter: Literal["lanczos", "bicubic", "bilinear", "box", "nearest"] = Field(
        "lanczos", description="How new pixels are made of old ones, in Pillow's words."
    )

    @model_validator(mode="after")
    def _a_side_is_given(self) -> "Resize":
        if self.width_px is None and self.height_px is None:
            raise ValueError("give width_px, height_px or both")
        return self

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return the resampled pixels.

        Raises:
            DecodeError: the ratio of the image makes the other side so long that the image would fill the memory.
        """
        from PIL import Image

        height, width, channels = pixels.shape
        size_px = self._size(width, height)
        if size_px[0] * size_px[1] > _MOST_PIXELS:
            raise DecodeError("too_large", f"resize would make {size_px[0]} x {size_px[1]} of {width} x {height}")
        image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        resized = image.resize(size_px, Image.Resampling[self.filter.upper()])
        return np.asarray(resized).reshape(size_px[1], size_px[0], channels)

    def moves(self, size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return one, stretched."""
        made = self._size(*size_px)
        return (Move(scaling(size_px[0] / made[0], size_px[1] / made[1]), made),)

    def kept_fraction(self) -> float:
        """Return 1 where the ratio is kept; else the fit after it can cut off any share of a side."""
        return 1.0 if self.width_px is None or self.height_px is None else 0.0

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Return the new width and height; the validator has made sure that one of them is given."""
        by_width, by_height = (self.width_px or 0) / width, (self.height_px or 0) / height
        return (
            self.width_px or max(round(width * by_height), 1),
            self.height_px or max(round(height * by_width), 1),
        )
