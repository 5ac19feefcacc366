"""Sharpen: an unsharp mask."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform


class Sharpen(Transform):
    """Adds to the image what a blurred copy of it lacks."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = False

    radius_px: float = Field(1.0, gt=0, le=100, description="Standard deviation of the blur.")
    percent: int = Field(100, ge=1, le=1000, description="How much of the difference is added.")
    threshold: int = Field(2, ge=0, le=255, description="Smaller differences (0-255) are left alone, so noise stays.")

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return the sharpened pixels."""
        from PIL import Image, ImageFilter

        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        mask = ImageFilter.UnsharpMask(radius=self.radius_px, percent=self.percent, threshold=self.threshold)
        return np.asarray(image.filter(mask)).reshape(pixels.shape)

    def moves(self, _size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return none: every pixel stays where it is."""
        return ()
