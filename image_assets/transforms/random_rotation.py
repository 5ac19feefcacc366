"""A random rotation: the image turned by a small angle around its middle."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets.transforms.warp import turn, turned_from


class RandomRotation(Transform):
    """Turns the image; the corners that come free take the background's colour."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = True

    max_deg: float = Field(10.0, gt=0, le=180, description="Greatest angle, to either side.")

    def apply(self, pixels: Pixels, rng: np.random.Generator, background: Colour, /) -> Pixels:
        """Return the turned pixels, interpolated bicubically."""
        return turn(pixels, self._draw(rng), background)

    def moves(self, size_px: tuple[int, int], rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return one, turned by the drawn angle."""
        return (Move(turned_from(size_px, self._draw(rng)), size_px),)

    def _draw(self, rng: np.random.Generator) -> float:
        """Return the angle in degrees."""
        return self.max_deg * (2 * float(rng.random()) - 1)
