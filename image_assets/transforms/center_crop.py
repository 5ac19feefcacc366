"""A centre crop: the middle of the image."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.core.geometry import translation
from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform


class CenterCrop(Transform):
    """Cuts off the same share at opposite sides."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = False

    keep: float = Field(0.875, gt=0, le=1, description="Share of width and of height that stays (0-1).")

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return a view of the middle."""
        left, top, width, height = self._part(pixels.shape[1], pixels.shape[0])
        return pixels[top : top + height, left : left + width]

    def moves(self, size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return one, from the middle."""
        left, top, width, height = self._part(*size_px)
        return (Move(translation(left, top), (width, height)),)

    def kept_fraction(self) -> float:
        """Return the share of a side that stays."""
        return self.keep

    def _part(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, width and height of the middle of an image of some size."""
        part_width, part_height = max(round(width * self.keep), 1), max(round(height * self.keep), 1)
        return (width - part_width) // 2, (height - part_height) // 2, part_width, part_height
