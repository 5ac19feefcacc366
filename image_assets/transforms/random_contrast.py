"""A random contrast: all pixels nearer to the mean or farther from it."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.core.placement import Move
from image_assets.transforms.adjustments import adjust_contrast
from image_assets.transforms.base import Colour, Pixels, Transform


class RandomContrast(Transform):
    """Multiplies every value's distance from the image's mean luma by one random factor."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = True

    max_change: float = Field(0.2, gt=0, le=1, description="The factor is drawn from 1 - this to 1 + this.")

    def apply(self, pixels: Pixels, rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return the spread or squeezed pixels, clipped to 0-255."""
        factor = 1 + self.max_change * (2 * float(rng.random()) - 1)
        return adjust_contrast(pixels, factor)

    def moves(self, _size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return none: every pixel stays where it is."""
        return ()
