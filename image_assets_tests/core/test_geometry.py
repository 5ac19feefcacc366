"""Masks, polygons and maps: what goes in comes out, and what is cut is what a grid of points says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from image_assets.core.errors import AnnotationError
from image_assets.core.geometry import Affine, Box, Point, area, bounds, clip_box, clip_polygon, rotation
from image_assets.core.masks import Mask, mask_from_bits, mask_from_columns, mask_from_counts
from image_assets.core.placement import Move, Placement

# What pycocotools.mask.encode says of these pixels (2.0.11).
OF_PYCOCOTOOLS: dict[str, tuple[list[str], str]] = {
    "nothing": (["...", "..."], "6"),
    "all": (["##", "##", "##"], "06"),
    "a corner": ([".#", "##"], "13"),
    "a ring": (["####", "#..#", "####"], "041N02"),
    "columns": (["#.#.#.#", "#.#.#.#"], "02200000"),
}


def pixels_of(rows: list[str]) -> NDArray[np.bool_]:
    return np.array([[place == "#" for place in row] for row in rows])


BITS = st.integers(0, 2**32).flatmap(
    lambda seed: st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0, 0.02, 0.3, 0.5, 0.97, 1])).map(
        lambda given: np.random.default_rng(seed).random(given[:2]) < given[2]
    )
)


@pytest.mark.parametrize(("rows", "rle"), OF_PYCOCOTOOLS.values(), ids=OF_PYCOCOTOOLS.keys())
def test_masks_are_written_as_pycocotools_writes_them(rows: list[str], rle: str) -> None:
    bits = pixels_of(rows)
    assert mask_from_bits(bits).rle == rle
    np.testing.assert_array_equal(Mask(bits.shape[1], bits.shape[0], rle).bits(), bits)


@settings(max_examples=60, deadline=None)
@given(bits=BITS, width=st.integers(1, 7))
def test_a_mask_says_of_every_pixel_what_went_in(bits: NDArray[np.bool_], width: int) -> None:
    height_px, width_px = bits.shape
    mask = mask_from_bits(bits)
    np.testing.assert_array_equal(mask.bits(), bits)
    assert mask.area_px == bits.sum()
    assert mask_from_counts(width_px, height_px, np.concatenate([[0, 0], mask.counts(), [0]])) == mask
    pieces = [(first, bits[:, first : first + width]) for first in range(0, width_px, width)]
    assert mask_from_columns(width_px, height_px, pieces) == mask
    rows, columns = np.mgrid[-1 : height_px + 1, -1 : width_px + 1]
    np.testing.assert_array_equal(mask.at(columns, rows), np.pad(bits, 1))
    ys, xs = np.nonzero(bits)
    edges = mask.bounds()
    assert (edges is None) == (not len(xs))
    if edges is not None:
        assert (edges[0], edges[2]) == (xs.min(), xs.max() + 1)
        assert edges[1] <= ys.min()
        assert edges[3] >= ys.max() + 1


def test_long_runs_keep_their_length() -> None:
    counts = np.array([1, 12_345_678, 3, 2, 100_000_000, 1, 7, 9, 60_000_000])
    mask = mask_from_counts(int(counts.sum()), 1, counts)
    np.testing.assert_array_equal(mask.counts(), counts)
    assert mask.bounds() == (1, 0, int(counts[:8].sum()), 1)


@pytest.mark.parametrize("rle", ["", "~", "13\n", "P", "1ä", "13ooooooooo", "14", "12"])
def test_a_text_that_is_no_mask_of_this_size_is_refused(rle: str) -> None:
    with pytest.raises(AnnotationError):
        Mask(2, 2, rle)


@settings(max_examples=30, deadline=None)
@given(
    radii=st.lists(st.floats(2, 60), min_size=3, max_size=12),
    middle=st.tuples(st.floats(-20, 70), st.floats(-20, 70)),
)
def test_a_cut_polygon_has_the_area_that_lies_inside(radii: list[float], middle: Point) -> None:
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    ring = [(middle[0] + r * np.cos(a), middle[1] + r * np.sin(a)) for r, a in zip(radii, angles, strict=True)]
    frame = Box(0, 0, 50, 40)
    cut = clip_polygon(ring, frame)
    steps = (np.arange(200) + 0.5) / 200
    x, y = (each.ravel() for each in np.meshgrid(steps * 50, steps * 40))
    expected = inside(ring, x, y).mean() * frame.area
    assert (area(cut.points) if cut else 0) == pytest.approx(expected, abs=6)
    if cut is not None:
        left, top, right, bottom = bounds(cut.points)
        assert left >= 0
        assert top >= 0
        assert right <= 50
        assert bottom <= 40


def inside(ring: list[Point], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points lie in a ring, by how often a ray to the right crosses it."""
    found = np.zeros(len(x), bool)
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            found ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return found


CUTS: dict[str, tuple[Any, Any]] = {
    "inside": ((1, 1, 3, 3), Box(1, 1, 3, 3)),
    "over an edge": ((-5, 1, 3, 3), Box(0, 1, 3, 3)),
    "around": ((-5, -5, 50, 50), Box(0, 0, 10, 10)),
    "touching from outside": ((10, 0, 12, 5), None),
    "beside": ((20, 20, 30, 30), None),
}


@pytest.mark.parametrize(("edges", "expected"), CUTS.values(), ids=CUTS.keys())
def test_a_box_is_cut_at_the_edges(edges: Any, expected: Any) -> None:
    assert clip_box(edges, Box(0, 0, 10, 10)) == expected


def test_a_bow_tie_is_kept_and_a_line_is_not() -> None:
    frame = Box(0, 0, 10, 10)
    assert clip_polygon([(1, 1), (9, 9), (9, 1), (1, 9)], frame) is not None
    assert clip_polygon([(1, 5), (9, 5), (4, 5)], frame) is None
    assert clip_polygon([(-1, 5), (0, 6), (-1, 7)], frame) is None


@pytest.mark.parametrize("size_px", [(1, 1), (3, 2), (1000, 1)])
def test_a_mask_follows_whole_pixels_exactly(size_px: tuple[int, int]) -> None:
    bits = np.random.default_rng(1).random(size_px[::-1]) < 0.5
    turned = Placement(size_px, (Move(Affine(-1, 0, size_px[0], 0, -1, size_px[1]), size_px),), Affine())
    placed = turned.place(mask_from_bits(bits))
    if bits.any():
        assert placed is not None
        np.testing.assert_array_equal(placed[0].bits(), bits[::-1, ::-1])  # type: ignore[union-attr]
        assert turned.place_back(placed[0]) == mask_from_bits(bits)
    else:
        assert placed is None


def test_turning_there_and_back_is_the_identity() -> None:
    there = rotation(37, (5, 6)).then(rotation(-37, (5, 6)))
    assert there.points([(1, 2)])[0] == pytest.approx((1, 2))
