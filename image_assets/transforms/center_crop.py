"""A centre crop: the middle of the image."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.transforms.base import Colour, Pixels, Transform


class CenterCrop(Transform):
    """Cuts off the same share at opposite sides."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = False

    keep: float = Field(0.875, gt=0, le=1, description="Share of width and of height that stays (0-1).")

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return a view of the middle."""
        height, width = pixels.shape[:2]
        part_height, part_width = max(round(height * self.keep), 1), max(round(width * self.keep), 1)
        top, left = (height - part_height) // 2, (width - part_width) // 2
        return pixels[top : top + part_height, left : left + part_width]

    def kept_fraction(self) -> float:
        """Return the share of a side that stays."""
        return self.keep
