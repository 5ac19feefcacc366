"""Warps: pixels moved to other places by bicubic interpolation; what comes free takes the background's colour."""

from typing import TYPE_CHECKING

import numpy as np

from image_assets.core.geometry import Affine, rotation
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
    return _affine(pixels, sheared_from((pixels.shape[1], pixels.shape[0]), slope), background)


def shift(pixels: Pixels, offset_px: tuple[int, int], background: Colour) -> Pixels:
    """Return the image moved to the right and down by whole pixels, so that none is interpolated."""
    return _affine(pixels, shifted_from(offset_px), background)


def turned_from(size_px: tuple[int, int], angle_deg: float) -> Affine:
    """Return where in an image of some size the pixels of the turned one come from."""
    return rotation(angle_deg, (size_px[0] / 2, size_px[1] / 2))


def sheared_from(size_px: tuple[int, int], slope: tuple[float, float]) -> Affine:
    """Return where in an image of some size the pixels of the leaning one come from."""
    (width, height), (along_x, along_y) = size_px, slope
    return Affine(1, -along_x, along_x * height / 2, -along_y, 1, along_y * width / 2)


def shifted_from(offset_px: tuple[int, int]) -> Affine:
    """Return where the pixels of an image come from that was moved."""
    return Affine(x0=-offset_px[0], y0=-offset_px[1])


def _affine(pixels: Pixels, origin: Affine, background: Colour) -> Pixels:
    """Return the pixels that an image of the same size gets from those places, as Pillow's ``transform`` does it."""
    from PIL import Image

    image, matrix = _image(pixels), (origin.xx, origin.xy, origin.x0, origin.yx, origin.yy, origin.y0)
    moved = image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BICUBIC, fillcolor=_fill(background)
    )
    return np.asarray(moved).reshape(pixels.shape)


def _image(pixels: Pixels) -> "Image.Image":
    from PIL import Image

    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _fill(background: Colour) -> float | tuple[int, ...]:
    return background[0] if len(background) == 1 else background
