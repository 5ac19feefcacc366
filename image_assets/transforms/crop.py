"""A crop: the same box out of every image."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from image_assets.core.geometry import translation
from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform

# Rounding of decimal fractions, as in 0.1 + 0.9, must not put a box outside.
_ROUNDING = 1e-9


class Crop(Transform):
    """Cuts a box out of the upright original.

    A box in pixels has its size whatever the image's: where the image does not reach it takes the background's colour.
    A box in fractions always lies inside, and is at least one pixel wide and high.
    """

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = False

    left: float = Field(0, ge=0, le=1_000_000, description="Distance from the image's left edge, in units.")
    top: float = Field(0, ge=0, le=1_000_000, description="Distance from the image's top edge, in units.")
    width: float = Field(gt=0, le=16384, description="Width of the box, in units.")
    height: float = Field(gt=0, le=16384, description="Height of the box, in units.")
    unit: Literal["fraction", "px"] = Field(
        "fraction", description="fraction: shares of the image's width and height (0-1); px: whole pixels."
    )

    @model_validator(mode="after")
    def _box_suits_its_unit(self) -> "Crop":
        edges = (self.left, self.top, self.width, self.height)
        if self.unit == "px" and any(edge != int(edge) for edge in edges):
            raise ValueError("a box in px has whole numbers; unit: fraction takes shares (0-1)")
        if self.unit == "fraction" and max(self.left + self.width, self.top + self.height) > 1 + _ROUNDING:
            raise ValueError("left + width and top + height are at most 1 in fractions; unit: px takes pixels")
        return self

    def apply(self, pixels: Pixels, _rng: np.random.Generator, background: Colour, /) -> Pixels:
        """Return the box, a view where the image fills it."""
        left, top, width, height = self._box(pixels.shape[1], pixels.shape[0])
        part = pixels[top : top + height, left : left + width]
        if part.shape[:2] == (height, width):
            return part
        box = np.empty((height, width, pixels.shape[2]), np.uint8)
        box[:] = background
        box[: part.shape[0], : part.shape[1]] = part
        return box

    def moves(self, size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return one, from the box."""
        left, top, width, height = self._box(*size_px)
        return (Move(translation(left, top), (width, height)),)

    def kept_fraction(self) -> float:
        """Return the lesser share of a side that stays; 0 in pixels, which have to be counted in the full original."""
        return min(self.width, self.height, 1.0) if self.unit == "fraction" else 0.0

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, width and height of the box in an image of some size."""
        if self.unit == "px":
            return int(self.left), int(self.top), int(self.width), int(self.height)
        left, right = _span(self.left, self.width, width)
        top, bottom = _span(self.top, self.height, height)
        return left, top, right - left, bottom - top


def _span(start: float, length: float, side: int) -> tuple[int, int]:
    """Return a half-open range of at least one of the side's pixels."""
    first = min(round(start * side), side - 1)
    return first, min(max(round((start + length) * side), first + 1), side)
