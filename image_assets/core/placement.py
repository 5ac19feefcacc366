"""Where a part of an original lies in one of its outputs, and the other way: boxes, polygons and masks moved along."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from image_assets.core.annotations import Geometry
from image_assets.core.geometry import Affine, Box, Point, Polygon, area, bounds, clip_box, clip_polygon
from image_assets.core.masks import Mask, mask_from_columns

# Pixels of a mask looked at together: 2 MB of coordinates each.
_PIECE_PIXELS = 2**18


@dataclass(frozen=True, slots=True)
class Move:
    """One step that moves pixels: where each point comes from, and the size (width, height) of what it makes."""

    to_input: Affine
    size_px: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placement:
    """How one output came from its upright original of ``original_px`` (width, height): step after step.

    What a step leaves out of its frame is gone, also when a later one would bring its place back into view: so
    annotations are cut at every step, as the pixels are.

    Args:
        to_stored: from the upright original to the pixels as the file stores them (EXIF orientation not applied).
    """

    original_px: tuple[int, int]
    moves: tuple[Move, ...]
    to_stored: Affine

    @property
    def output_px(self) -> tuple[int, int]:
        """Width and height of the output."""
        return self.moves[-1].size_px if self.moves else self.original_px

    @property
    def to_original(self) -> Affine:
        """The map from the output to the upright original."""
        return reduce(Affine.then, (move.to_input for move in reversed(self.moves)), Affine())

    @property
    def from_original(self) -> Affine:
        """The map from the upright original to the output."""
        return self.to_original.inverse()

    def place(self, geometry: Geometry) -> tuple[Geometry, float] | None:
        """Return an annotation of the original in pixels of the output, and how much of it is seen (0-1).

        A box is the box around what is seen of it, a polygon is cut, a mask takes the nearest pixel; the whole image
        stays that. None when nothing of it is seen.

        Raises:
            AnnotationError: a mask would be too large.
        """
        steps = [(move.to_input.inverse(), move.size_px) for move in self.moves]
        if geometry is None:
            return None, 1.0
        if isinstance(geometry, Mask):
            mask = _moved_mask(geometry, [self.original_px, *(size for _, size in steps)], self.moves)
            kept = mask.area_px * self.to_original.growth
            return (mask, min(kept / geometry.area_px, 1.0)) if mask.area_px else None
        ring = clip_polygon(_ring(geometry), _frame(self.original_px))
        for affine, size_px in steps:
            ring = ring and clip_polygon(affine.points(ring.points), _frame(size_px))
        if ring is None:
            return None
        whole = area(_ring(geometry))
        seen = min(area(ring.points) * self.to_original.growth / whole, 1.0) if whole else 1.0
        shape = _box_around(ring, _frame(self.output_px)) if isinstance(geometry, Box) else ring
        return None if shape is None else (shape, seen)

    def place_back(self, geometry: Geometry) -> Geometry:
        """Return an annotation of the output in pixels of the upright original; None when nothing of it is there.

        Raises:
            AnnotationError: a mask would be too large.
        """
        sizes = [self.original_px, *(move.size_px for move in self.moves)]
        if geometry is None:
            return None
        if isinstance(geometry, Mask):
            back = [Move(move.to_input.inverse(), size_px) for move, size_px in zip(self.moves, sizes, strict=False)]
            mask = _moved_mask(geometry, sizes[::-1], back[::-1])
            return mask if mask.area_px else None
        ring = clip_polygon(_ring(geometry), _frame(self.output_px))
        for move, size_px in zip(self.moves[::-1], sizes[-2::-1], strict=True):
            ring = ring and clip_polygon(move.to_input.points(ring.points), _frame(size_px))
        if ring is None or isinstance(geometry, Polygon):
            return ring
        return _box_around(ring, _frame(self.original_px))


def _ring(geometry: Box | Polygon) -> Sequence[Point]:
    return geometry.corners if isinstance(geometry, Box) else geometry.points


def _frame(size_px: tuple[int, int]) -> Box:
    return Box(0, 0, *size_px)


def _box_around(ring: Polygon, frame: Box) -> Box | None:
    return clip_box(bounds(ring.points), frame)


def _moved_mask(mask: Mask, sizes_px: Sequence[tuple[int, int]], moves: Sequence[Move]) -> Mask:
    """Return a mask after some moves; each pixel takes the one in whose place its middle was, at every step.

    Args:
        sizes_px: of what goes into the moves, and of what comes out of the last one.
    """
    size_px = sizes_px[-1]
    return mask_from_columns(*size_px, _pieces(mask, sizes_px, moves))


def _pieces(
    mask: Mask, sizes_px: Sequence[tuple[int, int]], moves: Sequence[Move]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield some columns at a time of those that the mask can reach."""
    (width_px, height_px), edges = sizes_px[-1], mask.bounds()
    if edges is None:
        return
    ahead = reduce(Affine.then, (move.to_input.inverse() for move in moves), Affine())
    left, top, right, bottom = bounds(ahead.points(Box(*map(float, edges)).corners))
    columns = range(max(int(left) - 1, 0), min(int(right) + 2, width_px))
    rows = slice(max(int(top) - 1, 0), min(int(bottom) + 2, height_px))
    if rows.start >= rows.stop:
        return
    many = max(_PIECE_PIXELS // (rows.stop - rows.start), 1)
    for first in columns[::many]:
        last = min(first + many, columns.stop)
        x, y = np.meshgrid(np.arange(first, last) + 0.5, np.arange(rows.start, rows.stop) + 0.5)
        bits = np.zeros((height_px, last - first), bool)
        bits[rows] = _looked_up(mask, sizes_px, moves, (x, y))
        yield first, bits


def _looked_up(
    mask: Mask,
    sizes_px: Sequence[tuple[int, int]],
    moves: Sequence[Move],
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.bool_]:
    x, y = places
    inside = np.ones(x.shape, bool)
    for move, (width_px, height_px) in zip(reversed(moves), reversed(sizes_px[:-1]), strict=True):
        x, y = move.to_input.arrays(x, y)
        inside &= (x >= 0) & (x < width_px) & (y >= 0) & (y < height_px)
    found: NDArray[np.bool_] = inside & mask.at(np.floor(x).astype(np.int64), np.floor(y).astype(np.int64))
    return found
