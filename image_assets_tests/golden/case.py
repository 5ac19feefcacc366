"""What one golden file is: its bytes, and what they must become, known from how they were made."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from image_assets.transforms.base import Pixels
from image_assets_tests.transforms.pictures import file_of, quadrants

# What shows through transparency in all golden files.
BACKGROUND = (0, 100, 200)
WIDTH, HEIGHT = 16, 12
# Red, green, blue and white quarters; few colours, for palettes and for formats that lose some.
QUARTERS = quadrants(WIDTH, HEIGHT)


@dataclass(frozen=True)
class Case:
    """One file. ``pixels`` are upright RGB, shape (height, width, 3); None when it must be refused."""

    name: str
    raw: bytes
    format: str = ""
    mode: str = ""
    pixels: Pixels | None = None
    flags: tuple[str, ...] = ()
    orientation: int = 1
    tolerance: int = 0  # by how much the mean of a quarter may differ; 0: each pixel is exact
    reason: str = ""


def ramp() -> Pixels:
    """Return a colour for each place, none twice, shape (12, 16, 3)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 17, y * 23, (x * 5 + y * 11) % 256], axis=2).astype(np.uint8)


def gray_ramp() -> Pixels:
    """Return a gray for each place, shape (12, 16)."""
    return ((np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) * 255) // (WIDTH * HEIGHT - 1)).astype(np.uint8)


def steps(bits: int) -> Pixels:
    """Return numbers of so many bits, as a ramp that begins anew, shape (12, 16)."""
    return (np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) % (1 << bits)).astype(np.uint8)


def deep_ramp() -> Any:
    """Return 16-bit numbers from 0 to 65535, shape (12, 16)."""
    return ((np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) * 65535) // (WIDTH * HEIGHT - 1)).astype(np.uint16)


def as_rgb(gray: Any) -> Pixels:
    """Return gray as RGB."""
    return np.repeat(np.asarray(gray, np.uint8)[:, :, np.newaxis], 3, axis=2)


def rounded(deep: Any) -> Pixels:
    """Return 16 bits as 8: to the nearest, 65535 to 255."""
    return np.rint(deep / 257.0).astype(np.uint8)


def packed(values: Pixels, bits: int) -> list[bytes]:
    """Return rows of numbers of 1, 2, 4 or 8 bits, the first in the highest bits, each row padded to a byte."""
    unpacked = np.unpackbits(values[:, :, np.newaxis], axis=2)[:, :, 8 - bits :]
    return [np.packbits(row.reshape(-1)).tobytes() for row in unpacked]


def saved(image: Any, kind: str, **options: Any) -> bytes:
    """Return a file that Pillow writes."""
    return file_of(image if isinstance(image, Image.Image) else np.ascontiguousarray(image), kind, **options)


def luma(rgb: Pixels) -> Pixels:
    """Return ITU-R 601 luma, rounded as Pillow does it, shape (height, width, 1)."""
    weighted = rgb.astype(np.int64) @ np.array([19595, 38470, 7471])
    return ((weighted + 0x8000) >> 16).astype(np.uint8)[:, :, np.newaxis]
