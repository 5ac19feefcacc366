"""Warps: pixels moved to other places by bicubic interpolation; what comes free takes the background's colour."""

from typing import TYPE_CHECKING

import numpy as np

from image_assets.transforms.base import Colour, Pixels

if TYPE_CHECKING:
    from PIL import Image


def turn(pixels: Pixels, angle_deg: float, background: Colour) -> Pixels:
    """Return the image turned counter-clockwise around its middle, height and width kept."""
    from PIL import Image

    turned = _image(pixels).rotate(angle_deg, resample=Image.Resampling.BICUBIC, fillcolor=_fill(background))
    return np.asarray(turned).reshape(pixels.shape)


def shear(pixels: Pixels, slope: tuple[float, float], background: Colour) -> Pixels:
    """Return the image leaning around its middle.

    Args:
        slope: pixels that a row moves to the right for each row further down, and a column down for each to the right.
    """
    height, width = pixels.shape[:2]
    along_x, along_y = slope
    return _affine(pixels, (1, -along_x, along_x * height / 2, -along_y, 1, along_y * width / 2), background)


def shift(pixels: Pixels, offset_px: tuple[int, int], background: Colour) -> Pixels:
    """Return the image moved to the right and down by whole pixels, so that none is interpolated."""
    return _affine(pixels, (1, 0, -offset_px[0], 0, 1, -offset_px[1]), background)


def _affine(pixels: Pixels, matrix: tuple[float, float, float, float, float, float], background: Colour) -> Pixels:
    """Return what the matrix finds for each pixel of the output, as Pillow's ``transform`` defines it."""
    from PIL import Image

    image = _image(pixels)
    moved = image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BICUBIC, fillcolor=_fill(background)
    )
    return np.asarray(moved).reshape(pixels.shape)


def _image(pixels: Pixels) -> "Image.Image":
    from PIL import Image

    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _fill(background: Colour) -> float | tuple[int, ...]:
    return background[0] if len(background) == 1 else background
