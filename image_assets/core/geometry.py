"""Places in an image: boxes, polygons, and affine maps from the pixels of one image to those of another.

Coordinates are continuous: x to the right, y down, (0, 0) is the upper left corner of the upper left pixel, whose
middle is (0.5, 0.5); an image of 640 x 480 pixels reaches to (640, 480).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import AnnotationError

Point = tuple[float, float]
# A contour followed pixel by pixel around a large image has so many; what has more is a mask.
MOST_POINTS = 100_000


@dataclass(frozen=True, slots=True)
class Box:
    """A box along the axes, by its edges; it has a width and a height."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        """Accept a box that is one.

        Raises:
            AnnotationError: an edge is no finite number, or it has no width or no height.
        """
        edges = (self.left, self.top, self.right, self.bottom)
        if not all(math.isfinite(edge) for edge in edges) or self.right <= self.left or self.bottom <= self.top:
            raise AnnotationError(f"a box from ({self.left}, {self.top}) to ({self.right}, {self.bottom}) has no area")

    @property
    def corners(self) -> tuple[Point, ...]:
        """The four corners, clockwise from the upper left one."""
        return ((self.left, self.top), (self.right, self.top), (self.right, self.bottom), (self.left, self.bottom))

    @property
    def area(self) -> float:
        """Its area in square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True, slots=True)
class Polygon:
    """A polygon of one ring, closed by itself: the first point is not repeated."""

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        """Accept a polygon that is one.

        Raises:
            AnnotationError: it has fewer than three points or too many, or a coordinate is no finite number.
        """
        if not 3 <= len(self.points) <= MOST_POINTS:
            raise AnnotationError(f"a polygon of {len(self.points)} points; it takes 3 to {MOST_POINTS}")
        if not all(math.isfinite(value) for point in self.points for value in point):
            raise AnnotationError("a polygon has a coordinate that is no finite number")


@dataclass(frozen=True, slots=True)
class Affine:
    """A map of points: x' = xx * x + xy * y + x0, y' = yx * x + yy * y + y0."""

    xx: float = 1.0
    xy: float = 0.0
    x0: float = 0.0
    yx: float = 0.0
    yy: float = 1.0
    y0: float = 0.0

    def then(self, after: "Affine") -> "Affine":
        """Return the map that does this and then another."""
        return Affine(
            after.xx * self.xx + after.xy * self.yx,
            after.xx * self.xy + after.xy * self.yy,
            after.xx * self.x0 + after.xy * self.y0 + after.x0,
            after.yx * self.xx + after.yy * self.yx,
            after.yx * self.xy + after.yy * self.yy,
            after.yx * self.x0 + after.yy * self.y0 + after.y0,
        )

    def inverse(self) -> "Affine":
        """Return the way back; no map here flattens an image."""
        det = self.xx * self.yy - self.xy * self.yx
        xx, xy, yx, yy = self.yy / det, -self.xy / det, -self.yx / det, self.xx / det
        return Affine(xx, xy, -(xx * self.x0 + xy * self.y0), yx, yy, -(yx * self.x0 + yy * self.y0))

    def points(self, points: Sequence[Point]) -> tuple[Point, ...]:
        """Return where points go."""
        return tuple((self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0) for x, y in points)

    def arrays(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where many points go."""
        return self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0

    @property
    def growth(self) -> float:
        """By how much areas grow."""
        return abs(self.xx * self.yy - self.xy * self.yx)


def translation(x: float, y: float) -> Affine:
    """Return the map that moves to the right and down."""
    return Affine(x0=x, y0=y)


def scaling(x: float, y: float) -> Affine:
    """Return the map that stretches from the upper left corner."""
    return Affine(xx=x, yy=y)


def mirror(size_px: tuple[int, int], direction: str) -> Affine:
    """Return the map that mirrors an image of some size: ``horizontal`` changes left and right, else top and bottom."""
    return Affine(xx=-1, x0=size_px[0]) if direction == "horizontal" else Affine(yy=-1, y0=size_px[1])


def rotation(angle_deg: float, middle: Point) -> Affine:
    """Return the map that turns clockwise around a point, as it is seen with y down."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    x, y = middle
    return Affine(cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def bounds(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """Return the left, top, right and bottom edge of what points span."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def clip_box(edges: tuple[float, float, float, float], within: Box) -> Box | None:
    """Return the part of a box (left, top, right, bottom) that lies within another, None when nothing does."""
    left, top = max(edges[0], within.left), max(edges[1], within.top)
    right, bottom = min(edges[2], within.right), min(edges[3], within.bottom)
    return Box(left, top, right, bottom) if left < right and top < bottom else None


def clip_polygon(points: Sequence[Point], within: Box) -> Polygon | None:
    """Return the part of a polygon that lies within a box, None when nothing does (Sutherland and Hodgman, 1974).

    A concave one that falls into pieces stays one ring, whose pieces hang together along the edges of the box.
    """
    ring = list(points)
    for axis, limit, sign in ((0, within.left, 1), (0, within.right, -1), (1, within.top, 1), (1, within.bottom, -1)):
        clipped: list[Point] = []
        for before, here in zip(ring[-1:] + ring[:-1], ring, strict=True):
            depth_before, depth_here = sign * (before[axis] - limit), sign * (here[axis] - limit)
            if (depth_before < 0) != (depth_here < 0):
                share = depth_before / (depth_before - depth_here)
                crossing = [before[side] + share * (here[side] - before[side]) for side in (0, 1)]
                # Exactly on the edge, whatever the rounding.
                crossing[axis] = limit
                clipped.append((crossing[0], crossing[1]))
            if depth_here >= 0:
                clipped.append(here)
        ring = clipped
    ring = [here for before, here in zip(ring[-1:] + ring[:-1], ring, strict=True) if here != before]
    return Polygon(tuple(ring)) if len(ring) >= 3 and _spans(bounds(ring)) else None


def _spans(edges: tuple[float, float, float, float]) -> bool:
    return edges[0] < edges[2] and edges[1] < edges[3]


def area(points: Sequence[Point]) -> float:
    """Return the area of a polygon in square pixels, whichever way round its points go."""
    turned = [*points[1:], points[0]]
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in zip(points, turned, strict=True))) / 2
