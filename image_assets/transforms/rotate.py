"""A rotation: every original turned by the same angle."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.core.geometry import Affine
from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets.transforms.warp import turn, turned_from


class Rotate(Transform):
    """Turns the original around its middle, before it is fitted to the output.

    Multiples of 90 degrees move pixels and interpolate none; 90 and 270 change height and width over. Any other angle
    keeps height and width: corners are lost, and those that come free take the background's colour.
    """

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = False

    angle_deg: float = Field(ge=-360, le=360, description="Angle, counter-clockwise where positive.")

    def apply(self, pixels: Pixels, _rng: np.random.Generator, background: Colour, /) -> Pixels:
        """Return the turned pixels, a view where the angle is a multiple of 90 degrees."""
        if self.angle_deg % 90 == 0:
            return np.rot90(pixels, int(self.angle_deg // 90) % 4)
        return turn(pixels, self.angle_deg, background)

    def moves(self, size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return one, turned."""
        if self.angle_deg % 90:
            return (Move(turned_from(size_px, self.angle_deg), size_px),)
        width, height = size_px
        quarters = {
            0: Affine(),
            1: Affine(0, -1, width, 1, 0, 0),
            2: Affine(-1, 0, width, 0, -1, height),
            3: Affine(0, 1, 0, -1, 0, height),
        }
        turns = int(self.angle_deg // 90) % 4
        return (Move(quarters[turns], (height, width) if turns % 2 else size_px),)

    def kept_fraction(self) -> float:
        """Return 1 for a half or whole turn; any other mixes the sides, and the decoder counts them apart."""
        return 1.0 if self.angle_deg % 180 == 0 else 0.0
