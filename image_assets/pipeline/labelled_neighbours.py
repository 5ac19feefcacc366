"""Of each image the most similar labelled ones; what is known of the last time is not searched for again."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_assets.core.exact_cosines import Nearest, whole_units
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables
from image_assets.storage.vectors import CHUNK_ROWS, iter_vectors, vectors_of

# Images searched for together, each time with one way through the vector file: 4096 of 1280 numbers are 21 MB.
_QUERIES = 4096
_NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Labelled:
    """The plain outputs of an index by their rows in it, in order, and of each its nearest labelled ones.

    ``ids`` (S16) and ``contents`` (S32) are those of the images; ``neighbours`` are rows of the index, shape (n, k),
    nearest first, -1 where there are not so many, and ``products`` their products in whole numbers.
    """

    rows: NDArray[np.int64]
    ids: NDArray[np.bytes_]
    contents: NDArray[np.bytes_]
    has_label: NDArray[np.bool_]
    neighbours: NDArray[np.int64]
    products: NDArray[np.int64]


def search_neighbours(store: Store, images: Labelled, before: Labelled) -> int:
    """Fill in the neighbours of all images, and return for how many of them all labelled ones were compared.

    An image that was there before with the same content is only compared with the labelled ones that are new, unless
    one of its neighbours is gone. The result is that of a search without anything known.

    Args:
        images: their neighbours are overwritten.
        before: of the same extractor and ``k``, maybe empty.
    """
    then, now = _stayed(images, before)
    old_label = np.zeros(len(images.rows), bool)
    old_label[now] = before.has_label[then]
    # Rows of the index before, of neighbours that still count, as rows of the one now.
    moved = np.full(int(before.rows.max(initial=-1)) + 2, -1, np.int64)
    still = before.has_label[then] & images.has_label[now]
    moved[before.rows[then[still]]] = images.rows[now[still]]
    known = np.where(before.neighbours < 0, -1, moved[before.neighbours])
    lost = (known < 0) & (before.neighbours >= 0)
    fine = ~lost[then].any(axis=1)
    images.neighbours[now[fine]] = known[then[fine]]
    images.products[now[fine]] = before.products[then[fine]]
    whole = np.ones(len(images.rows), bool)
    whole[now[fine]] = False
    _compare(store, images, np.flatnonzero(whole), images.rows[images.has_label])
    _compare(store, images, np.flatnonzero(~whole), images.rows[images.has_label & ~old_label])
    return int(whole.sum())


def no_images(k: int) -> Labelled:
    """Return what is known of no images."""
    none = np.empty((0, k), np.int64)
    return Labelled(_NO_ROWS, np.empty(0, "S16"), np.empty(0, "S32"), np.empty(0, bool), none, none)


def _stayed(images: Labelled, before: Labelled) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the images that were there before with the same content: then, and now."""
    _, then, now = np.intersect1d(before.ids, images.ids, assume_unique=True, return_indices=True)
    same = before.contents[then] == images.contents[now]
    return then[same], now[same]


def _compare(store: Store, images: Labelled, places: NDArray[np.int64], others: NDArray[np.int64]) -> None:
    """Offer the images with the rows ``others`` to those at ``places``."""
    if not len(others):
        return
    for first in range(0, len(places), _QUERIES):
        asked = places[first : first + _QUERIES]
        units = np.concatenate([vectors for _, vectors in _units(store, images.rows[asked])])
        nearest = Nearest.of(images.products[asked], images.neighbours[asked])
        for rows, vectors in _units(store, others):
            products = units @ vectors.T
            # No image is its own neighbour.
            products[images.rows[asked][:, np.newaxis] == rows] = np.nan
            nearest.offer(products, rows)
        nearest.sort()
        images.neighbours[asked], images.products[asked] = nearest.numbers, nearest.products


def _units(store: Store, wanted: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield some rows of the vector file, in order, with their vectors in whole numbers."""
    first = 0
    for piece in cut_tables(iter_vectors(store), CHUNK_ROWS):
        low, high = np.searchsorted(wanted, [first, first + piece.num_rows])
        if low < high:
            rows = wanted[low:high]
            yield rows, whole_units(vectors_of(piece)[rows - first])
        first += piece.num_rows
