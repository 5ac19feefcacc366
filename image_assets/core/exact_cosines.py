"""Cosines in whole numbers: the same on any machine, in any order, with any number of threads."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Whole numbers up to here are exact in float32.
_EXACT = 2**12


def scale_of(dim: int) -> int:
    """Return by what unit vectors are multiplied before they are rounded.

    The product of two of them, and by Cauchy and Schwarz any part of its sum, is then at most 2**24 in size: a matrix
    product in float32 adds whole numbers that it holds exactly, in whatever order.
    """
    return _EXACT - 1 - math.ceil(math.sqrt(dim) / 2)


def whole_units(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return vectors, shape (n, dim), in length :func:`scale_of` and whole numbers; zeros stay, and so do no others.

    What cannot be told from others by a cosine, a vector with a number that is not finite, becomes zeros too.
    """
    exact = vectors.astype(np.float64)
    exact[~np.isfinite(exact).all(axis=1)] = 0
    lengths = np.sqrt((exact**2).sum(axis=1, keepdims=True))
    units = np.divide(exact, lengths, out=np.zeros_like(exact), where=lengths > 0)
    whole: NDArray[np.float32] = np.rint(units * scale_of(vectors.shape[1])).astype(np.float32)
    return whole


class Nearest:
    """Of each of some queries the ``k`` best of what was offered, by product, then by the lower number."""

    def __init__(self, queries: int, k: int) -> None:
        # Product and number in one: the better, the larger; no two are equal.
        self._best = np.full((queries, k), _NONE, np.int64)

    @classmethod
    def of(cls, products: NDArray[np.int64], numbers: NDArray[np.int64]) -> "Nearest":
        """Return what :meth:`products` and :meth:`numbers` said; -1 is no number."""
        found = cls(len(products), products.shape[1])
        found._best = np.where(numbers < 0, _NONE, _packed(products, numbers))
        return found

    def offer(self, products: NDArray[np.float32], numbers: NDArray[np.int64]) -> None:
        """Take products of all queries with some others, shape (queries, others), NaN where one does not count."""
        meant = np.where(np.isnan(products), 0, products).astype(np.int64)
        packed = np.where(np.isnan(products), _NONE, _packed(meant, numbers[np.newaxis]))
        every = np.concatenate([self._best, packed], axis=1)
        k = self._best.shape[1]
        self._best = np.partition(every, every.shape[1] - k, axis=1)[:, -k:]

    def sort(self) -> None:
        """Put the best first."""
        self._best = np.sort(self._best, axis=1)[:, ::-1]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The numbers of the best, shape (queries, k), -1 where there are not so many."""
        found = _LAST - (self._best & _LAST)
        return np.where(self._best == _NONE, -1, found)

    @property
    def products(self) -> NDArray[np.int64]:
        """Their products, 0 where there are not so many."""
        return np.where(self._best == _NONE, 0, self._best >> _BITS)


_BITS = 32
_LAST = 2**_BITS - 1
_NONE = np.iinfo(np.int64).min


def _packed(products: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    packed: NDArray[np.int64] = (products << _BITS) | (_LAST - numbers)
    return packed
