"""The fit rules: which part of an image becomes the output, and what is painted around it."""

from collections.abc import Callable

import numpy as np

from image_assets.core.geometry import scaling, translation
from image_assets.core.placement import Move
from image_assets.settings.images import ImageSettings
from image_assets.transforms.base import Colour, Pixels
from image_assets.transforms.orientation import orient, sideways
from image_assets.transforms.resize import Box, Resizer

# Width and height; fractions where an image ends inside a pixel.
_Size = tuple[float, float]


def fit_pixels(
    pixels: Pixels,
    turn: int,
    image: ImageSettings,
    resizer: Resizer,
    *,
    filled_px: tuple[float, float] | None = None,
) -> Pixels:
    """Return upright pixels of exactly the output's size.

    The pixels are resized as they are stored and turned afterwards, because turning the small image is cheaper.

    Args:
        turn: the EXIF orientation (1-8) that is still to be applied.
        filled_px: width and height that the image fills of the pixels, when it ends inside the last ones.
    """
    height, width = pixels.shape[:2]
    target = (image.width_px, image.height_px)
    stored_target = (target[1], target[0]) if sideways(turn) else target
    # Measured: a box one pixel off at the far edge costs 10 to 20 dB.
    source = filled_px or (width, height)
    box, size_px = _FITS[image.fit](source, stored_target)
    if size_px != (width, height) or source != size_px:
        pixels = resizer.resize(pixels, box, size_px)
    upright = orient(pixels, turn)
    if upright.shape[:2] == (image.height_px, image.width_px):
        return upright
    return _pad(upright, target, background_for(pixels.shape[2], image.background))


def fit_move(size_px: tuple[int, int], image: ImageSettings, *, filled_px: tuple[float, float] | None = None) -> Move:
    """Return where in an upright image of some size the pixels of the fitted one come from.

    Args:
        filled_px: width and height that the image fills of the size, when it ends inside the last pixels.
    """
    target = (image.width_px, image.height_px)
    box, (width, height) = _FITS[image.fit](filled_px or size_px, target)
    left, top = (target[0] - width) // 2, (target[1] - height) // 2
    unpadded = translation(-left, -top).then(scaling(box.width_px / width, box.height_px / height))
    return Move(unpadded.then(translation(box.left_px, box.top_px)), target)


def background_for(channels: int, background: tuple[int, int, int]) -> Colour:
    """Return the background as one value a channel."""
    if channels == 3:
        return background
    red, green, blue = background
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16,)


def _stretch(source: _Size, target: tuple[int, int]) -> tuple[Box, tuple[int, int]]:
    return Box(0, 0, *source), target


def _cover(source: _Size, target: tuple[int, int]) -> tuple[Box, tuple[int, int]]:
    scale = min(source[0] / target[0], source[1] / target[1])
    # Rounding must not push the box out of the image.
    width, height = min(target[0] * scale, source[0]), min(target[1] * scale, source[1])
    return Box((source[0] - width) / 2, (source[1] - height) / 2, width, height), target


def _contain(source: _Size, target: tuple[int, int]) -> tuple[Box, tuple[int, int]]:
    scale = max(source[0] / target[0], source[1] / target[1])
    width, height = (min(max(round(side / scale), 1), limit) for side, limit in zip(source, target, strict=True))
    return Box(0, 0, *source), (width, height)


_Fit = Callable[[_Size, tuple[int, int]], tuple[Box, tuple[int, int]]]
_FITS: dict[str, _Fit] = {"stretch": _stretch, "cover": _cover, "contain": _contain}


def _pad(pixels: Pixels, target: tuple[int, int], background: Colour) -> Pixels:
    height, width, channels = pixels.shape
    padded = np.empty((target[1], target[0], channels), dtype=np.uint8)
    padded[:] = background
    left, top = (target[0] - width) // 2, (target[1] - height) // 2
    padded[top : top + height, left : left + width] = pixels
    return padded
