"""Masks as run lengths along the rows, as platforms keep them that do not follow COCO's columns."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import AnnotationError
from image_assets.core.masks import Mask, mask_from_bits

# Files that are sent to be labelled have fewer: a byte of memory for each while a mask is read.
_MOST_PIXELS = 2**26


def row_runs(bits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the lengths of runs along rows of shape (height, width), the first of pixels that do not belong."""
    flat = bits.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]]))
    return np.concatenate([[0], counts]) if flat[:1].any() else counts


def mask_from_row_runs(size_px: tuple[int, int], corner_px: tuple[int, int], part: NDArray[np.bool_]) -> Mask:
    """Return the mask of an image whose pixels from a corner on are ``part``.

    Args:
        size_px: width and height of the image.
        corner_px: left and top of the part.
        part: shape (height, width).

    Raises:
        AnnotationError: the part does not lie in the image, or the image is too large.
    """
    (width_px, height_px), (left, top) = size_px, corner_px
    below, right = top + part.shape[0], left + part.shape[1]
    if left < 0 or top < 0 or right > width_px or below > height_px:
        raise AnnotationError(
            f"a mask from ({left}, {top}) to ({right}, {below}) does not lie in an image of {width_px} x {height_px}"
        )
    refuse_many_pixels(width_px, height_px)
    bits = np.zeros((height_px, width_px), bool)
    bits[top:below, left:right] = part
    return mask_from_bits(bits)


def pixels_of_runs(counts: Sequence[int], width_px: int, height_px: int) -> NDArray[np.bool_]:
    """Return pixels, shape (height, width), from the lengths of runs along the rows.

    Raises:
        AnnotationError: the lengths are not of this size.
    """
    runs = np.array(counts, np.int64)
    refuse_many_pixels(width_px, height_px)
    if (runs < 0).any() or (runs > width_px * height_px).any() or int(runs.sum()) != width_px * height_px:
        raise AnnotationError(f"a mask of {width_px} x {height_px} pixels has runs of other lengths")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height_px, width_px)


def extent_px(bits: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of what belongs, half-open; None when nothing does."""
    columns, rows = np.flatnonzero(bits.any(axis=0)), np.flatnonzero(bits.any(axis=1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def refuse_many_pixels(width_px: int, height_px: int) -> None:
    """Accept the size of a mask that is about to be unpacked.

    Raises:
        AnnotationError: it is larger than any file that is sent to be labelled.
    """
    if width_px * height_px > _MOST_PIXELS:
        raise AnnotationError(f"a mask of {width_px} x {height_px} pixels; the limit is {_MOST_PIXELS} pixels")
