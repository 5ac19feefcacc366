"""RandAugment: a few operations drawn from a list, all at one magnitude."""

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.core.geometry import Affine
from image_assets.core.placement import Move
from image_assets.transforms.adjustments import (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    adjust_sharpness,
)
from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets.transforms.tone_curves import equalize_tones, posterize, solarize, stretch_tones
from image_assets.transforms.warp import shear, sheared_from, shift, shifted_from, turn, turned_from

# The greatest shift that AutoAugment knows is 150 pixels, on images of 331.
_MOST_SHIFT = 150 / 331
# Each takes pixels, a strength (-1 to 1) and the background. The order is part of the draws: append, never insert, and
# raise the version of RandAugment with each change.
OPERATIONS: dict[str, Callable[[Pixels, float, Colour], Pixels]] = {
    "identity": lambda pixels, _strength, _background: pixels,
    "autocontrast": lambda pixels, _strength, _background: stretch_tones(pixels),
    "equalize": lambda pixels, _strength, _background: equalize_tones(pixels),
    "rotate": lambda pixels, strength, background: turn(pixels, 30 * strength, background),
    "solarize": lambda pixels, strength, _background: solarize(pixels, 256 - round(256 * abs(strength))),
    "colour": lambda pixels, strength, _background: adjust_saturation(pixels, 1 + 0.9 * strength),
    "posterize": lambda pixels, strength, _background: posterize(pixels, 8 - round(4 * abs(strength))),
    "contrast": lambda pixels, strength, _background: adjust_contrast(pixels, 1 + 0.9 * strength),
    "brightness": lambda pixels, strength, _background: adjust_brightness(pixels, 1 + 0.9 * strength),
    "sharpness": lambda pixels, strength, _background: adjust_sharpness(pixels, 1 + 0.9 * strength),
    "shear_x": lambda pixels, strength, background: shear(pixels, (0.3 * strength, 0), background),
    "shear_y": lambda pixels, strength, background: shear(pixels, (0, 0.3 * strength), background),
    "translate_x": lambda pixels, strength, background: shift(
        pixels, (_share(pixels.shape[1], strength), 0), background
    ),
    "translate_y": lambda pixels, strength, background: shift(
        pixels, (0, _share(pixels.shape[0], strength)), background
    ),
}
# Of those that move pixels, where in an image of some size (width, height) they get them from.
ORIGINS: dict[str, Callable[[tuple[int, int], float], Affine]] = {
    "rotate": lambda size_px, strength: turned_from(size_px, 30 * strength),
    "shear_x": lambda size_px, strength: sheared_from(size_px, (0.3 * strength, 0)),
    "shear_y": lambda size_px, strength: sheared_from(size_px, (0, 0.3 * strength)),
    "translate_x": lambda size_px, strength: shifted_from((_share(size_px[0], strength), 0)),
    "translate_y": lambda size_px, strength: shifted_from((0, _share(size_px[1], strength))),
}


class RandAugment(Transform):
    """Applies operations drawn from a list of 14 (Cubuk, Zoph, Shlens and Le, "RandAugment", arXiv:1909.13719).

    Each operation is drawn with probability 1/14, again for each place, so one can come twice. The magnitude M runs
    from 0 to 10 and means the share M/10 of the ranges that AutoAugment (arXiv:1805.09501, table 6) gives:

    * rotate 30 degrees; shear_x, shear_y a slope of 0.3; translate_x, translate_y 150/331 of the side;
    * brightness, contrast, colour, sharpness a factor of 1 - 0.9 or 1 + 0.9;
    * solarize inverts the values from 256 - 256 on; posterize takes 4 of the 8 bits away;
    * identity, autocontrast and equalize know no magnitude.

    The first two groups go to either side with equal probability. At M = 0 only autocontrast and equalize change
    anything. Colour leaves an image of one channel as it is.
    """

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = True

    operations: int = Field(2, ge=1, le=14, description="How many operations follow each other (the paper's N).")
    magnitude: float = Field(9, ge=0, le=10, description="How strong they are (the paper's M).")

    def apply(self, pixels: Pixels, rng: np.random.Generator, background: Colour, /) -> Pixels:
        """Return what the drawn operations make of the pixels."""
        for name, strength in self.draw(rng):
            pixels = OPERATIONS[name](pixels, strength, background)
        return pixels

    def moves(self, size_px: tuple[int, int], rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return one for each drawn operation that moves pixels."""
        drawn = self.draw(rng)
        return tuple(Move(ORIGINS[name](size_px, strength), size_px) for name, strength in drawn if name in ORIGINS)

    def draw(self, rng: np.random.Generator) -> list[tuple[str, float]]:
        """Return the name and the strength (-1 to 1) of each operation."""
        names = list(OPERATIONS)
        return [
            (names[int(at * len(names))], self.magnitude / 10 * (1 if side < 0.5 else -1))
            for at, side in rng.random((self.operations, 2)).tolist()
        ]


def _share(side_px: int, strength: float) -> int:
    return round(_MOST_SHIFT * side_px * strength)
