"""Grayscale: ITU-R 601 luma in every channel."""

from typing import ClassVar, Literal

import numpy as np

from image_assets.core.placement import Move
from image_assets.transforms.base import Colour, Pixels, Transform


class Grayscale(Transform):
    """Takes the colour out and keeps the number of channels; ``image.mode: L`` stores one channel instead."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = False

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        """Return the luma, once for each channel."""
        if pixels.shape[2] == 1:
            return pixels
        return np.repeat(luma(pixels), 3, axis=2)

    def moves(self, _size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return none: every pixel stays where it is."""
        return ()


def luma(pixels: Pixels) -> Pixels:
    """Return the ITU-R 601 luma, shape (height, width, 1), rounded exactly as Pillow rounds it."""
    if pixels.shape[2] == 1:
        return pixels
    red, green, blue = pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2]
    total = red * np.uint32(19595) + green * np.uint32(38470) + blue * np.uint32(7471)
    values: Pixels = ((total + 0x8000) >> 16).astype(np.uint8)[:, :, np.newaxis]
    return values
