"""Cosines in whole numbers, the nearest of many, and what they vote for."""

import numpy as np
import pytest

from image_assets.core.exact_cosines import Nearest, scale_of, whole_units
from image_assets.core.label_votes import vote


@pytest.mark.parametrize("dim", [1, 2, 144, 1280, 4096, 20_000])
def test_products_are_exact_in_float32_and_no_more_than_it_holds(dim):
    vectors = np.random.default_rng(dim).normal(0, 1, (8, dim)).astype(np.float32)
    vectors[0] = 1e-30 * np.sign(vectors[0])  # as equal parts as can be: rounding makes it longest
    units = whole_units(vectors)
    exact = units.astype(np.int64) @ units.astype(np.int64).T
    assert np.abs(exact).max() <= 2**24
    assert np.array_equal(units @ units.T, exact)
    cosines = exact / scale_of(dim) ** 2
    true = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    assert np.abs(cosines - true @ true.T)[1:, 1:].max() < 0.002


def test_what_has_no_direction_is_nothing():
    assert not whole_units(np.array([[0, 0], [np.nan, 1], [np.inf, 1]], np.float32)).any()


@pytest.mark.parametrize("pieces", [1, 3, 50])
def test_the_nearest_are_the_same_however_they_are_offered(pieces):
    rng = np.random.default_rng(pieces)
    products = rng.integers(-3, 3, (7, 50)).astype(np.float32)  # many are equal
    products[2, 5:] = np.nan
    nearest = Nearest(7, 10)
    for numbers in np.array_split(rng.permutation(50), pieces):
        nearest.offer(products[:, numbers], numbers)
    nearest.sort()
    for row in range(7):
        counting = [number for number in range(50) if not np.isnan(products[row, number])]
        best = sorted(counting, key=lambda number: (-products[row, number], number))[:10]
        assert [number for number in nearest.numbers[row] if number >= 0] == best
        assert list(nearest.products[row])[: len(best)] == [products[row, number] for number in best]


def test_what_was_found_goes_on():
    nearest = Nearest(1, 2)
    nearest.offer(np.array([[-5.0, np.nan]], np.float32), np.array([3, 4]))
    nearest.sort()
    again = Nearest.of(nearest.products, nearest.numbers)
    again.offer(np.array([[-6.0, -4.0]], np.float32), np.array([1, 2]))
    again.sort()
    assert (again.numbers.tolist(), again.products.tolist()) == ([[2, 3]], [[-4, -5]])


@pytest.mark.parametrize(
    ("labels", "cosines", "winner", "part"),
    [
        ([4, 4, 4], [0.9, 0.5, 0.1], 4, 1.0),
        ([1, 2], [0.5, 0.5], 1, 0.5),  # of equals the nearer one, which is the first
        ([1, 2, 2], [0.5, 0.5, 0.5], 2, 2 / 3),
        ([1, 2, 2], [0.9, 0.5, 0.5], 1, 1 / (1 + 2 * np.exp(-0.4 / 0.07))),
        ([3, -1, -1], [-1.0, 0.0, 0.0], 3, 1.0),  # the only one, however far
        ([-1, -1], [0.0, 0.0], -1, 0.0),
    ],
)
def test_the_more_similar_count_more(labels, cosines, winner, part):
    winners, parts = vote(np.array([labels]), np.array([cosines]))
    assert (winners[0], parts[0]) == (winner, pytest.approx(part))
