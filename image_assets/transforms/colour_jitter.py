"""Colour jitter: brightness, contrast, saturation and hue changed at random, in a random order."""

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.core.placement import Move
from image_assets.transforms.adjustments import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
from image_assets.transforms.base import Colour, Pixels, Transform

_ADJUSTMENTS: dict[str, Callable[[Pixels, float], Pixels]] = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}


class ColourJitter(Transform):
    """Changes light and colour, by the rules that torchvision documents for ``ColorJitter``.

    The factors of brightness, contrast and saturation are drawn uniformly from [max(0, 1 - x), 1 + x), the turn of the
    hue from [-x, x), and the four follow each other in a drawn order. All are drawn each time, also those of size 0,
    so one parameter never changes what is drawn for another. An image of one channel keeps saturation and hue.
    """

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = True

    brightness: float = Field(0.4, ge=0, le=10, description="Greatest change of the brightness factor, 1.")
    contrast: float = Field(0.4, ge=0, le=10, description="Greatest change of the contrast factor, 1.")
    saturation: float = Field(0.4, ge=0, le=10, description="Greatest change of the saturation factor, 1.")
    hue: float = Field(0.1, ge=0, le=0.5, description="Greatest turn of the hue to either side, in whole turns.")

    def apply(self, pixels: Pixels, rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return the changed pixels."""
        for name, amount in self.draw(rng):
            if getattr(self, name) > 0:
                pixels = _ADJUSTMENTS[name](pixels, amount)
        return pixels

    def moves(self, _size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return none: every pixel stays where it is."""
        return ()

    def draw(self, rng: np.random.Generator) -> list[tuple[str, float]]:
        """Return the name and the amount of each adjustment, in the order in which they are made."""
        amounts = {}
        for name, at in zip(_ADJUSTMENTS, rng.random(4).tolist(), strict=True):
            change = getattr(self, name)
            middle = 0.0 if name == "hue" else 1.0
            least = -change if name == "hue" else max(0.0, 1 - change)
            amounts[name] = least + at * (middle + change - least)
        # Sorting four draws gives every order equally often, by the one method whose numbers NumPy never changed.
        places = dict(zip(_ADJUSTMENTS, rng.random(4).tolist(), strict=True))
        return [(name, amounts[name]) for name in sorted(places, key=places.__getitem__)]
