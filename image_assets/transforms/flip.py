"""A flip: every image mirrored."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from image_assets.core.geometry import mirror
from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform


class Flip(Transform):
    """Mirrors the image."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = False

    direction: Literal["horizontal", "vertical"] = Field(
        "horizontal", description="horizontal: left and right change sides; vertical: top and bottom do."
    )

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return a mirrored view."""
        return pixels[:, ::-1] if self.direction == "horizontal" else pixels[::-1]

    def moves(self, size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return one, mirrored."""
        return (Move(mirror(size_px, self.direction), size_px),)
