"""Adjustments of light, colour and sharpness by a given factor; 1 (a hue's turn: 0) changes nothing."""

import numpy as np
from numpy.typing import NDArray

from image_assets.transforms.base import Pixels
from image_assets.transforms.grayscale import luma

_Plane = NDArray[np.float32]


def adjust_brightness(pixels: Pixels, factor: float) -> Pixels:
    """Return every value times the factor, clipped to 0-255."""
    # The arithmetic is done on the 256 possible values, not on every pixel.
    table = np.clip(np.rint(np.arange(256) * factor), 0, 255).astype(np.uint8)
    changed: Pixels = table[pixels]
    return changed


def adjust_contrast(pixels: Pixels, factor: float) -> Pixels:
    """Return every value's distance from the image's mean luma times the factor, clipped to 0-255."""
    mean = float(luma(pixels).mean())
    table = np.clip(np.rint(mean + (np.arange(256) - mean) * factor), 0, 255).astype(np.uint8)
    changed: Pixels = table[pixels]
    return changed


def adjust_saturation(pixels: Pixels, factor: float) -> Pixels:
    """Return every pixel's distance from its own luma times the factor; one channel has no colour and stays."""
    return pixels if pixels.shape[2] == 1 else _blend(luma(pixels), pixels, factor)


def adjust_hue(pixels: Pixels, turns: float) -> Pixels:
    """Return the pixels with their HSV hue moved round the colour circle; one channel has no hue and stays.

    Args:
        turns: how far, -0.5 to 0.5 of a whole turn; from red towards green where positive.
    """
    if pixels.shape[2] == 1:
        return pixels
    # Plane by plane: 2 ms on 224 x 224, against 13 ms with the channels side by side and np.mod (measured).
    red, green, blue = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32)
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    hue = _sixths((red, green, blue), value, chroma) + np.float32(6 * turns)
    # HSV back to RGB without cases: a channel falls below the value by the chroma times a trapezoid of the hue.
    changed = np.empty(pixels.shape, np.uint8)
    for channel, offset in enumerate((5, 3, 1)):
        at = hue + np.float32(offset)
        at -= 6 * np.floor(at / 6)
        changed[:, :, channel] = _to_bytes(value - chroma * np.clip(np.minimum(at, 4 - at), 0, 1))
    return changed


def adjust_sharpness(pixels: Pixels, factor: float) -> Pixels:
    """Return every value's distance from that of a smoothed copy times the factor, clipped to 0-255."""
    from PIL import Image, ImageFilter

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    smooth = np.asarray(image.filter(ImageFilter.SMOOTH)).reshape(pixels.shape)
    return _blend(smooth, pixels, factor)


def _sixths(planes: tuple[_Plane, _Plane, _Plane], value: _Plane, chroma: _Plane) -> _Plane:
    """Return the hue in sixths of a turn, 0 for red and for every gray."""
    red, green, blue = planes
    safe = np.maximum(chroma, np.float32(1))
    of_green, of_blue = (blue - red) / safe + 2, (red - green) / safe + 4
    hue: _Plane = np.where(value == red, (green - blue) / safe, np.where(value == green, of_green, of_blue))
    return hue


def _blend(plain: Pixels, pixels: Pixels, factor: float) -> Pixels:
    base = plain.astype(np.float32)
    return _to_bytes(base + (pixels.astype(np.float32) - base) * np.float32(factor))


def _to_bytes(values: NDArray[np.float32]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
