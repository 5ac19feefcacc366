"""Finding all 64-bit hashes within some bits of each other, exactly, without comparing all with all."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MAX_DISTANCE = 16
_BANDS = 4
_BAND_BITS = 16
_BAND_VALUES = 1 << _BAND_BITS
# Looked up at once, and compared at once: each takes some 40 bytes for a moment.
_PROBES = 1 << 17
_CANDIDATES = 1 << 18


@dataclass(frozen=True, slots=True)
class Hits:
    """Some pairs within the distance: which query, which hash, and in how many bits they differ; each pair once."""

    queries: NDArray[np.int64]
    positions: NDArray[np.int64]
    bits: NDArray[np.uint8]


class HammingIndex:
    """Hashes, sorted by each of their four bands of 16 bits; 24 bytes a hash.

    Of two hashes within ``r`` bits, one of the first ``r % 4 + 1`` bands is within ``r // 4``, or one of the others
    within one less: else they would differ in ``r + 1`` bits or more (Norouzi, Punjani and Fleet, "Fast search in
    Hamming space with multi-index hashing"). Within 8 bits that is 2 bits of one band and 1 of the others: 137 + 3 * 17
    places to look at, where 2 bits of each would be 548.
    """

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self._hashes = hashes
        self._orders: list[NDArray[np.uint32]] = []
        self._starts: list[NDArray[np.int64]] = []
        for number in range(_BANDS):
            band = _band(hashes, number)
            # A stable sort of 16-bit numbers is a radix sort.
            self._orders.append(np.argsort(band, kind="stable").astype(np.uint32))
            counts = np.bincount(band, minlength=_BAND_VALUES)
            self._starts.append(np.concatenate([[0], np.cumsum(counts)]))

    def within(self, queries: NDArray[np.uint64], distance_bits: int) -> Iterator[Hits]:
        """Yield all pairs of a query and a hash that differ in at most so many bits, some at a time, in no order.

        Raises:
            ValueError: the distance is below 0 or above :data:`MAX_DISTANCE`.
        """
        if not 0 <= distance_bits <= MAX_DISTANCE:
            raise ValueError(f"a distance of {distance_bits} bits is not searched for; give 0 to {MAX_DISTANCE}")
        radii = _radii(distance_bits)
        for number, radius in enumerate(radii):
            for asked, positions in self._candidates(queries, number, radius):
                differing = queries[asked] ^ self._hashes[positions]
                bits = np.bitwise_count(differing)
                near = np.flatnonzero(bits <= distance_bits)
                # What an earlier band found as well was told then.
                for earlier in range(number):
                    near = near[np.bitwise_count(_band(differing[near], earlier)) > radii[earlier]]
                if len(near):
                    yield Hits(asked[near], positions[near].astype(np.int64), bits[near])

    def _candidates(
        self, queries: NDArray[np.uint64], number: int, radius: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint32]]]:
        """Yield pairs (query, hash) whose bands of a number differ in at most ``radius`` bits, as positions."""
        masks, starts, order = _masks(radius), self._starts[number], self._orders[number]
        step = max(1, _PROBES // max(1, len(masks)))
        for first in range(0, len(queries) if len(masks) else 0, step):
            probes = _band(queries[first : first + step], number)[:, None] ^ masks
            begins = starts[probes]
            lengths = starts[probes.astype(np.int64) + 1] - begins
            totals = lengths.sum(axis=1)
            for begin, end in _pieces(totals):
                asked = np.repeat(np.arange(first + begin, first + end), totals[begin:end])
                yield asked, order[_ranges(begins[begin:end].ravel(), lengths[begin:end].ravel())]


def _radii(distance_bits: int) -> list[int]:
    """Return within how many bits to look in each band; -1: not at all."""
    least, more = divmod(distance_bits, _BANDS)
    return [least if number <= more else least - 1 for number in range(_BANDS)]


def _band(hashes: NDArray[np.uint64], number: int) -> NDArray[np.uint16]:
    return (hashes >> np.uint64(_BAND_BITS * number)).astype(np.uint16)


def _masks(radius: int) -> NDArray[np.uint16]:
    """Return all bands with at most so many bits."""
    bands = np.arange(_BAND_VALUES, dtype=np.uint16)
    return bands[np.bitwise_count(bands) <= radius] if radius >= 0 else bands[:0]


def _pieces(totals: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield ranges of queries, half-open, that have about as many candidates together as are compared at once."""
    parts = np.cumsum(totals) // _CANDIDATES
    cuts = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(totals)]
    for begin, end in pairwise(cuts):
        if totals[begin:end].any():
            yield begin, end


def _ranges(begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of several ranges, one range after the other."""
    ends = np.cumsum(lengths)
    numbers: NDArray[np.int64] = np.arange(ends[-1]) + np.repeat(begins - (ends - lengths), lengths)
    return numbers
