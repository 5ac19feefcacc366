"""The perceptual hash: 64 bits of an image's coarse structure; few change when it is resized or recompressed."""

import functools
import hashlib

import numpy as np
from numpy.typing import NDArray

# What decides the bits: another rule has another name here, and with it files of its own.
_RULE = "dct64-1: luma, the 64 lowest cosines but the constant, above their median; none below half a grey level"
METHOD = hashlib.sha256(_RULE.encode()).hexdigest()[:16]
# By the sum of both frequencies. Among 600 photographs of clothes the nearest two are 10 bits apart; with the usual
# block of 8 x 8 it is 8, and without its first row and column a crop of 5 % is found less often (71 of 100, not 87).
_AXIS = 11
_LOWEST = sorted(((down, across) for down in range(_AXIS) for across in range(_AXIS)), key=lambda at: (sum(at), at))
_DOWN, _ACROSS = np.array(_LOWEST[1:65]).T
# The weights of an axis are whole numbers of some 2**22 together at most. Pixels below 2**8 times both axes stay below
# 2**53, so that every sum is exact in float64, in whatever order a library adds: a hash is the same on every machine.
_ONE = float(2**22)
_PRODUCT = 2**17
# In grey levels. An image whose every coefficient is smaller is flat, or noise: it is like no other, or like any.
_LEAST_STRUCTURE = 0.5


def hash_pixels(pixels: NDArray[np.uint8]) -> int | None:
    """Return an image's perceptual hash, 64 bits; None for one without structure (flat, or all but flat).

    Args:
        pixels: shape (height, width, 1 or 3).
    """
    grey = _luma(pixels)
    # Without it the weights' rounding would make structure of plain white.
    grey -= np.rint(grey.mean())
    cosines = (_down(grey) @ _weights(grey.shape[1]).T)[_DOWN, _ACROSS]
    if np.abs(cosines).max() < _LEAST_STRUCTURE * _ONE**2:
        return None
    return int.from_bytes(np.packbits(cosines > np.median(cosines)).tobytes(), "big")


def _down(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of each column times each cosine, shape (11, width)."""
    weights = _weights(len(grey))
    # A larger product is shared out among threads by OpenBLAS, which takes up to ten times the processor time of this.
    rows = max(1, _PRODUCT // (_AXIS * grey.shape[1]))
    found = np.zeros((_AXIS, grey.shape[1]))
    for first in range(0, len(grey), rows):
        found += weights[:, first : first + rows] @ grey[first : first + rows]
    return found


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return whole grey levels, shape (height, width), by ITU-R 601 as Pillow has them."""
    if pixels.shape[2] == 1:
        return pixels[:, :, 0].astype(np.float64)
    # Below 2**24, so exact in float32 as well, which is faster than whole numbers.
    grey = pixels.reshape(-1, 3).astype(np.float32) @ np.array([19595, 38470, 7471], np.float32)
    return np.floor((grey.astype(np.float64) + 0x8000) / 0x10000).reshape(pixels.shape[:2])


@functools.lru_cache(maxsize=64)
def _weights(length_px: int) -> NDArray[np.float64]:
    """Return what makes the mean of an axis times each cosine, as whole numbers, shape (11, length_px)."""
    places = (np.arange(length_px) + 0.5) / length_px
    weights: NDArray[np.float64] = np.rint(np.cos(np.pi * np.outer(np.arange(_AXIS), places)) * (_ONE / length_px))
    return weights
