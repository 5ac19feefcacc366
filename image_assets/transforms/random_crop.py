"""A random crop: a part of the image, of random area, shape and place."""

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from image_assets.core.geometry import translation
from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform


class RandomCrop(Transform):
    """Cuts out a random part; what is left is resized as the image settings say."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = True

    scale: tuple[float, float] = Field((0.7, 1.0), description="Least and greatest share of the area (0-1).")
    ratio: tuple[float, float] = Field(
        (0.75, 4 / 3), description="Least and greatest width to height of the part, relative to the image's own."
    )

    @field_validator("scale")
    @classmethod
    def _scale_is_a_share(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError("scale is [least, greatest] with 0 < least <= greatest <= 1")
        return scale

    @field_validator("ratio")
    @classmethod
    def _ratio_holds_one(cls, ratio: tuple[float, float]) -> tuple[float, float]:
        if not 0 < ratio[0] <= 1 <= ratio[1] < math.inf:
            raise ValueError("ratio is [least, greatest] with 0 < least <= 1 <= greatest")
        return ratio

    def apply(self, pixels: Pixels, rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return a view of the part."""
        left, top, width, height = self._draw(pixels.shape[1], pixels.shape[0], rng)
        return pixels[top : top + height, left : left + width]

    def moves(self, size_px: tuple[int, int], rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return one, from the drawn part."""
        left, top, width, height = self._draw(*size_px, rng)
        return (Move(translation(left, top), (width, height)),)

    def kept_fraction(self) -> float:
        """Return the least share of a side that a draw can leave."""
        return math.sqrt(self.scale[0] * max(self.scale[0], min(self.ratio[0], 1 / self.ratio[1])))

    def _draw(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Return left, top, width and height of the part of an image of some size."""
        at_area, at_ratio, at_left, at_top = (float(draw) for draw in rng.random(4))
        area = self.scale[0] + at_area * (self.scale[1] - self.scale[0])
        # A part of this area fits into the image only with a ratio in area..1/area: no draw is ever thrown away.
        least, greatest = math.log(max(self.ratio[0], area)), math.log(min(self.ratio[1], 1 / area))
        ratio = math.exp(least + at_ratio * (greatest - least))
        part_width = _part(width, math.sqrt(area * ratio))
        part_height = _part(height, math.sqrt(area / ratio))
        left = int(at_left * (width - part_width + 1))
        top = int(at_top * (height - part_height + 1))
        return left, top, part_width, part_height


def _part(side: int, fraction: float) -> int:
    return min(max(round(side * fraction), 1), side)
