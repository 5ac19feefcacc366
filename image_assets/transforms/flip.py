"""A flip: every image mirrored."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

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
