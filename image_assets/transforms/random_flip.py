"""A random flip: the image mirrored, or not."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.core.geometry import mirror
from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform


class RandomFlip(Transform):
    """Mirrors the image with a given probability."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = True

    p: float = Field(0.5, ge=0, le=1, description="Probability of a flip (0-1).")
    direction: Literal["horizontal", "vertical", "both"] = Field(
        "horizontal", description="horizontal: left and right change sides; both: each direction is drawn for itself."
    )

    def apply(self, pixels: Pixels, rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return the pixels or a mirrored view of them."""
        horizontally, vertically = self._draw(rng)
        if horizontally:
            pixels = pixels[:, ::-1]
        if vertically:
            pixels = pixels[::-1]
        return pixels

    def moves(self, size_px: tuple[int, int], rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return one for each drawn direction."""
        drawn = zip(("horizontal", "vertical"), self._draw(rng), strict=True)
        return tuple(Move(mirror(size_px, direction), size_px) for direction, is_drawn in drawn if is_drawn)

    def _draw(self, rng: np.random.Generator) -> tuple[bool, bool]:
        """Return whether to mirror horizontally, and whether vertically."""
        horizontally, vertically = (float(draw) < self.p for draw in rng.random(2))
        return horizontally and self.direction != "vertical", vertically and self.direction != "horizontal"
