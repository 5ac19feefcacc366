"""Tone curves: every value of a channel replaced by another one, wherever it stands."""

import numpy as np
from numpy.typing import NDArray

from image_assets.transforms.base import Pixels


def stretch_tones(pixels: Pixels) -> Pixels:
    """Return each channel stretched so that its least value is 0 and its greatest 255 (autocontrast)."""
    return _by_channel(pixels, [_stretching(pixels[:, :, channel]) for channel in range(pixels.shape[2])])


def equalize_tones(pixels: Pixels) -> Pixels:
    """Return each channel with its values spread so that they are about equally frequent."""
    return _by_channel(pixels, [_equalizing(pixels[:, :, channel]) for channel in range(pixels.shape[2])])


def solarize(pixels: Pixels, threshold: int) -> Pixels:
    """Return the pixels with every value of at least the threshold (0-256) inverted."""
    values = np.arange(256)
    changed: Pixels = np.where(values < threshold, values, 255 - values).astype(np.uint8)[pixels]
    return changed


def posterize(pixels: Pixels, bits: int) -> Pixels:
    """Return the pixels with only the upper bits (1-8) of each value."""
    return pixels & np.uint8(256 - (1 << (8 - bits)))


def _stretching(channel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    least, greatest = int(channel.min()), int(channel.max())
    if least == greatest:
        return np.arange(256, dtype=np.uint8)
    stretched = (np.arange(256) - least) * (255 / (greatest - least))
    return _to_bytes(stretched)


def _equalizing(channel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    below = np.cumsum(np.bincount(channel.ravel(), minlength=256))
    darkest = below[int(channel.min())]
    if darkest == channel.size:
        return np.arange(256, dtype=np.uint8)
    spread = (below - darkest) * (255 / (channel.size - darkest))
    return _to_bytes(spread)


def _by_channel(pixels: Pixels, tables: list[NDArray[np.uint8]]) -> Pixels:
    return np.stack([table[pixels[:, :, channel]] for channel, table in enumerate(tables)], axis=2)


def _to_bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    table: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return table
