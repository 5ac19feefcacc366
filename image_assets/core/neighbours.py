"""Which hashes are near which, and how they hang together: kept for the next time, so that only what is new costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_assets.core.hamming import HammingIndex

# In ``nearest``: there is none.
NO_NEIGHBOUR = 255


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Different 64-bit hashes, sorted, each with what is near it; 17 bytes a hash, however many are near each other.

    ``roots`` are the smallest hash of each one's group: of all that can be reached from it over hashes within the
    distance. ``nearest`` is in how many bits the nearest other one differs, :data:`NO_NEIGHBOUR` where none is near.
    It follows from the hashes and the distance alone, whatever the way there.
    """

    hashes: NDArray[np.uint64]
    roots: NDArray[np.uint64]
    nearest: NDArray[np.uint8]


def no_neighbours() -> Neighbours:
    """Return what is known of no hashes."""
    return Neighbours(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint8))


def different_hashes(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return hashes sorted, each once."""
    # np.unique goes through a hash table, which takes twenty times as long as sorting.
    ordered = np.sort(hashes)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def follow_hashes(before: Neighbours, hashes: NDArray[np.uint64], distance_bits: int) -> Neighbours:
    """Return the neighbours among other hashes than before; only what came and what lost a neighbour is compared.

    Args:
        before: made with the same distance.
        hashes: different ones, sorted.
    """
    gone = ~_found(hashes, before.hashes)
    if gone.any():
        # A group that lost a hash may have come apart, so its others are as good as new.
        whole = ~_found(different_hashes(before.roots[gone]), before.roots)
        before = Neighbours(before.hashes[whole], before.roots[whole], before.nearest[whole])
    groups = _Groups(hashes, before)
    asked = np.flatnonzero(~_found(before.hashes, hashes))
    if len(asked):
        groups.join_near(asked, distance_bits)
    return Neighbours(hashes, hashes[groups.roots()], groups.nearest)


class _Groups:
    """Hashes in groups, each a tree of positions whose root is its smallest (union-find, many unions at once)."""

    def __init__(self, hashes: NDArray[np.uint64], known: Neighbours) -> None:
        """Take what is known of some of the hashes; the others are alone."""
        self.nearest = np.full(len(hashes), NO_NEIGHBOUR, np.uint8)
        self._hashes = hashes
        self._parents = np.arange(len(hashes))
        places = np.searchsorted(hashes, known.hashes)
        self.nearest[places] = known.nearest
        self._parents[places] = np.searchsorted(hashes, known.roots)

    def join_near(self, asked: NDArray[np.int64], distance_bits: int) -> None:
        """Join each of the positions ``asked`` with those of all that are near it."""
        for hits in HammingIndex(self._hashes).within(self._hashes[asked], distance_bits):
            one, other = asked[hits.queries], hits.positions
            differ = one != other
            one, other, bits = one[differ], other[differ], hits.bits[differ]
            np.minimum.at(self.nearest, one, bits)
            np.minimum.at(self.nearest, other, bits)
            self._join(one, other)

    def roots(self) -> NDArray[np.int64]:
        """Return the smallest member of each one's group."""
        return self._roots_of(np.arange(len(self._parents)))

    def _join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        while len(one):
            first, second = self._roots_of(one), self._roots_of(other)
            apart = first != second
            one, other = one[apart], other[apart]
            # Where a root is to go below several at once it goes below the smallest; the rest is seen to next time.
            low, high = np.minimum(first, second)[apart], np.maximum(first, second)[apart]
            np.minimum.at(self._parents, high, low)

    def _roots_of(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        roots = self._parents[members]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        # What was climbed once is climbed no more.
        self._parents[members] = roots
        return roots


def _found(among: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of some hashes are among others; those are sorted."""
    if not len(among):
        return np.zeros(len(wanted), bool)
    places = np.searchsorted(among, wanted)
    places[places == len(among)] = 0
    found: NDArray[np.bool_] = among[places] == wanted
    return found
