"""Masks of pixels as COCO's compressed run lengths: a small text however large the image."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import AnnotationError

# What one mask may take as text. A mask drawn by hand takes some kB; one of noise on 2,000 x 2,000 pixels 4 MB.
MOST_MASK_BYTES = 4 * 2**20
# Of such a mask; as many as limits.max_pixels allows for an image by default.
MOST_MASK_PIXELS = 178_956_970
# Each character holds five bits, and no run is longer than 2**30.
_CHARACTERS = 7


@dataclass(frozen=True, slots=True)
class Mask:
    """Which pixels of an image belong to something.

    ``rle`` is what COCO calls compressed RLE: lengths of runs down the columns, from the left one to the right one,
    the first of pixels that do not belong; pycocotools, CVAT and Label Studio's converter know it. The functions here
    give one mask one text (runs of length 0 only at the beginning), so that equal masks are equal.
    """

    width_px: int
    height_px: int
    rle: str

    def __post_init__(self) -> None:
        """Accept a mask that is what it says.

        Raises:
            AnnotationError: a side is no whole number above 0, the text is too long, or is none of this size.
        """
        if not (_is_side(self.width_px) and _is_side(self.height_px)):
            raise AnnotationError(f"a mask of {self.width_px!r} x {self.height_px!r} pixels; sides are whole, above 0")
        if self.width_px * self.height_px > MOST_MASK_PIXELS or len(self.rle) > MOST_MASK_BYTES:
            raise AnnotationError(
                f"a mask of {self.width_px} x {self.height_px} pixels in {len(self.rle)} bytes; "
                f"the limits are {MOST_MASK_PIXELS} pixels and {MOST_MASK_BYTES} bytes"
            )
        counts = self.counts()
        if (counts < 0).any() or int(counts.sum()) != self.width_px * self.height_px:
            raise AnnotationError(f"a mask of {self.width_px} x {self.height_px} pixels has runs of other lengths")

    def counts(self) -> NDArray[np.int64]:
        """Return the lengths of the runs, the first of pixels that do not belong.

        Raises:
            AnnotationError: the text is no compressed RLE.
        """
        return _decode(self.rle)

    @property
    def area_px(self) -> int:
        """How many pixels belong."""
        return int(self.counts()[1::2].sum())

    def bounds(self) -> tuple[int, int, int, int] | None:
        """Return left, top, right and bottom of the pixels that belong, half-open; None when there are none."""
        counts = self.counts()
        ends = np.cumsum(counts)[1::2]
        starts = ends - counts[1::2]
        if not len(ends):
            return None
        columns, tops, last = starts // self.height_px, starts % self.height_px, (ends - 1) % self.height_px
        # A run that goes on in the next column touches its bottom and the top of that.
        broken = (ends - 1) // self.height_px > columns
        top, bottom = np.where(broken, 0, tops).min(), np.where(broken, self.height_px, last + 1).max()
        return int(columns[0]), int(top), int((ends[-1] - 1) // self.height_px) + 1, int(bottom)

    def bits(self) -> NDArray[np.bool_]:
        """Return each pixel, shape (height, width); a byte a pixel, so mind the size of the image."""
        counts = self.counts()
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return flat.reshape(self.width_px, self.height_px).T

    def at(self, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether some pixels belong, without unpacking the mask; pixels outside of the image do not."""
        ends = np.cumsum(self.counts())
        inside = (columns >= 0) & (columns < self.width_px) & (rows >= 0) & (rows < self.height_px)
        run = np.searchsorted(ends, np.where(inside, columns * self.height_px + rows, 0), side="right")
        found: NDArray[np.bool_] = inside & (run % 2 == 1)
        return found


def mask_from_counts(width_px: int, height_px: int, counts: NDArray[np.int64]) -> Mask:
    """Return the mask with runs of some lengths, the first of pixels that do not belong (uncompressed RLE).

    Raises:
        AnnotationError: they are not of this size.
    """
    runs = np.asarray(counts, np.int64)
    if (runs < 0).any() or (runs > MOST_MASK_PIXELS).any():
        raise AnnotationError(f"a mask of {width_px} x {height_px} pixels has runs of other lengths")
    return Mask(int(width_px), int(height_px), _encode(_joined(runs)))


def mask_from_bits(bits: NDArray[np.bool_]) -> Mask:
    """Return the mask of pixels, shape (height, width).

    Raises:
        AnnotationError: it is too large.
    """
    height_px, width_px = bits.shape
    return mask_from_columns(width_px, height_px, [(0, bits)])


def mask_from_columns(width_px: int, height_px: int, pieces: Iterable[tuple[int, NDArray[np.bool_]]]) -> Mask:
    """Return the mask of pixels that come a few columns at a time; what does not come does not belong.

    Args:
        pieces: the first column of each, and its pixels, shape (height, columns); from left to right.

    Raises:
        AnnotationError: it is too large.
    """
    # Where a run begins that differs from the one before it; in pairs, so that the last one ends.
    changes = [np.empty(0, np.int64)]
    for first, bits in pieces:
        flat = np.concatenate([[False], np.asarray(bits, bool).T.reshape(-1), [False]])
        changes.append(np.flatnonzero(flat[1:] != flat[:-1]) + first * height_px)
    counts = np.diff(np.concatenate([[0], *changes, [width_px * height_px]]))
    return mask_from_counts(width_px, height_px, counts)


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _joined(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return runs without those of length 0 but for a first one: their neighbours are one run."""
    kept = counts > 0
    if kept.all():
        return counts
    # What belongs has an odd place; runs of one kind that follow each other are added up.
    kinds, lengths = (np.arange(len(counts)) % 2)[kept], counts[kept]
    if not len(lengths):
        return np.zeros(1, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], kinds[1:] != kinds[:-1]]))
    joined: NDArray[np.int64] = np.add.reduceat(lengths, starts)
    return np.concatenate([np.zeros(1, np.int64), joined]) if kinds[0] else joined


def _encode(counts: NDArray[np.int64]) -> str:
    rest = counts.copy()
    # From the fourth on it is the difference to the last run of that kind.
    rest[3:] -= counts[1:-2]
    characters = np.zeros((len(rest), _CHARACTERS), np.uint8)
    used = np.zeros((len(rest), _CHARACTERS), bool)
    going = np.ones(len(rest), bool)
    for place in range(_CHARACTERS):
        bits = rest & 31
        rest >>= 5
        more = np.where(bits & 16, rest != -1, rest != 0)
        characters[:, place] = 48 + bits + 32 * more
        used[:, place] = going
        going &= more
    return characters[used].tobytes().decode("ascii")


def _decode(rle: str) -> NDArray[np.int64]:
    characters = np.frombuffer(rle.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    last = (characters & 32) == 0
    if not len(characters) or (characters < 0).any() or (characters > 63).any() or not last[-1]:
        raise AnnotationError(f"a mask's text is no compressed RLE: {rle[:20]!r}")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if (lengths > _CHARACTERS).any():
        raise AnnotationError(f"a mask's text is no compressed RLE: {rle[:20]!r}")
    places = np.arange(len(characters)) - np.repeat(starts, lengths)
    counts: NDArray[np.int64] = np.add.reduceat((characters & 31) << (5 * places), starts)
    counts = counts - np.where(characters[ends] & 16, np.int64(1) << (5 * lengths), 0)
    # The differences, from the fourth on, added up for each kind.
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
