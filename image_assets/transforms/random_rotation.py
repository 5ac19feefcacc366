"""A random rotation: the image turned by a small angle around its middle."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets.transforms.warp import turn


class RandomRotation(Transform):
    """Turns the image; the corners that come free take the background's colour."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = True

    max_deg: float = Field(10.0, gt=0, le=180, description="Greatest angle, to either side.")

    def apply(self, pixels: Pixels, rng: np.random.Generator, background: Colour, /) -> Pixels:
        """Return the turned pixels, interpolated bicubically."""
        angle_deg = self.max_deg * (2 * float(rng.random()) - 1)
        return turn(pixels, angle_deg, background)
