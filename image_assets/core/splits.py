"""Which images train and which are kept apart to measure by: a unit never comes apart, and no image changes sides."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "val", "test")
# What is kept out of all of them, because it would tell one of them about another.
QUARANTINE = "quarantine"
SPLIT_NAMES = (*SPLITS, QUARANTINE)
HELD = SPLIT_NAMES.index(QUARANTINE)
NO_SPLIT = -1

# Positions among SPLIT_NAMES, or NO_SPLIT.
Codes = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Images to be split, one value each.

    Images of one ``unit`` (a number from 0) belong together: duplicates, or what the user says. ``strata`` are numbers
    from 0, of the labels. ``keys`` say in which order new units are taken: random, but the same for the same bytes.
    ``pins`` is where the same bytes were put before, ``hints`` where another image under the same key was.
    """

    units: NDArray[np.int64]
    strata: NDArray[np.int64]
    keys: NDArray[np.uint64]
    pins: Codes
    hints: Codes


@dataclass(frozen=True, slots=True)
class Settled:
    """Where each image is; ``bridged`` units hang together by now and were put into different splits before."""

    splits: Codes
    bridged: NDArray[np.int64]


def settle(images: Candidates) -> Settled:
    """Return where images belong by what is known of them; those of units of which nothing is known get NO_SPLIT.

    Where the images of a unit were put into different splits before, those of the first of them (train before val
    before test) stay, and all others are quarantined: nothing changes sides, and nothing that measures is like anything
    that trained.
    """
    count = int(images.units.max()) + 1 if len(images.units) else 0
    pinned, hinted = _present(images.units, images.pins, count), _present(images.units, images.hints, count)
    # What the bytes say comes before what the key says.
    deciding = np.where(pinned.any(axis=1, keepdims=True), pinned, hinted)
    winner = np.where(deciding.any(axis=1), deciding.argmax(axis=1), NO_SPLIT).astype(np.int8)
    # Keys alone tie nothing: of their images those of the first split are noted now, and decide from then on.
    several = pinned.sum(axis=1) > 1
    own = np.where(images.pins != NO_SPLIT, images.pins, images.hints)
    splits = winner[images.units]
    # In a bridged unit only what was put there before stays; elsewhere also what is new, but nothing from elsewhere.
    strange = np.where(several[images.units], own != splits, (own != NO_SPLIT) & (own != splits))
    splits[strange & (splits != NO_SPLIT)] = HELD
    # The same bytes are in one split, whatever their keys were: what is noted of one image holds for its copies.
    kept = (splits != HELD) & (splits != NO_SPLIT)
    copies = (splits == HELD) & np.isin(images.keys, images.keys[kept])
    splits[copies] = winner[images.units[copies]]
    return Settled(splits, np.flatnonzero(several))


def assign(images: Candidates, splits: Codes, fractions: tuple[float, float, float]) -> Codes:
    """Return splits with those filled in that are NO_SPLIT, each stratum as near to the fractions as units allow.

    Units of several images go first, the largest before the others, each where most is missing. Single images then
    fill every stratum up to within one image of what it should have, and all of them together as well.
    """
    splits = splits.copy()
    new = np.flatnonzero(splits == NO_SPLIT)
    if not len(new):
        return splits
    quota = _Quota(images.strata, splits, np.array(fractions))
    _, first, sizes = np.unique(images.units[new], return_index=True, return_counts=True)
    ordered = new[np.lexsort((images.keys[new], images.units[new]))]
    starts = np.cumsum(np.append(0, sizes))[:-1]
    large = np.flatnonzero(sizes > 1)
    smallest_key = images.keys[ordered[starts[large]]]
    for at in large[np.lexsort((smallest_key, -sizes[large]))]:
        members = ordered[starts[at] : starts[at] + sizes[at]]
        splits[members] = quota.take(images.strata[members])
    single = new[first[sizes == 1]]
    _fill(images, splits, single, quota)
    return splits


def joined(units: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return units of what hangs together by either of two divisions; numbers from 0. -1 in ``others`` is no tie."""
    tied = others >= 0
    labels = units
    while True:
        before = labels
        labels = labels.copy()
        labels[tied] = _least(others[tied], labels[tied])
        labels = _least(units, labels)
        if np.array_equal(labels, before):
            return units_of(labels)


def units_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return numbers from 0 that are the same where the values are."""
    numbers: NDArray[np.int64] = np.unique(values, return_inverse=True)[1].reshape(-1)
    return numbers


def order_keys(contents: NDArray[np.bytes_], seed: int) -> NDArray[np.uint64]:
    """Return a random key of each content (S16), the same for the same seed (the finalizer of SplitMix64)."""
    words = np.frombuffer(np.ascontiguousarray(contents).tobytes(), np.uint64).reshape(len(contents), 2)
    mixed = words[:, 0] ^ (words[:, 1] + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    keys: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return keys


class _Quota:
    """What each stratum should have of each split, and what it has: shape (strata, 3)."""

    def __init__(self, strata: NDArray[np.int64], splits: Codes, fractions: NDArray[np.float64]) -> None:
        count = int(strata.max()) + 1
        counted = strata[splits != HELD]
        self.fractions = fractions
        self.wanted = np.bincount(counted, minlength=count)[:, None] * fractions
        self.have = np.stack(
            [np.bincount(strata[splits == code], minlength=count) for code in range(len(SPLITS))], axis=1
        ).astype(np.float64)

    def take(self, strata: NDArray[np.int64]) -> int:
        """Return where a unit goes: where its strata lack most, of those that shall have anything."""
        missing = (self.wanted[strata] - self.have[strata]).sum(axis=0)
        missing[self.fractions == 0] = -np.inf
        # Of equals the one that lacks most of all.
        most = int(np.lexsort((-self.missing, -missing))[0])
        np.add.at(self.have[:, most], strata, 1)
        return most

    @property
    def missing(self) -> NDArray[np.float64]:
        """What all strata together lack of each split."""
        lacking: NDArray[np.float64] = (self.wanted - self.have).sum(axis=0)
        return lacking


def _fill(images: Candidates, splits: Codes, single: NDArray[np.int64], quota: _Quota) -> None:
    """Put single images where they are missing, stratum by stratum."""
    single = single[np.lexsort((images.keys[single], images.strata[single]))]
    strata, starts, counts = np.unique(images.strata[single], return_index=True, return_counts=True)
    # What the strata before got too little of, by rounding.
    owed = np.zeros(len(SPLITS))
    for stratum, start, count in zip(strata, starts, counts, strict=True):
        lacking = np.maximum(quota.wanted[stratum] - quota.have[stratum], 0)
        weights = lacking if lacking.any() else quota.fractions
        exact = weights / weights.sum() * count
        shares = _whole_shares(exact, owed)
        owed += exact - shares
        splits[single[start : start + count]] = np.repeat(np.arange(len(SPLITS)), shares)


def _whole_shares(exact: NDArray[np.float64], owed: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return shares rounded to whole images with the same sum; those are rounded up that are owed most."""
    # A whole number that was missed by rounding is meant.
    shares = np.floor(exact + 1e-9).astype(np.int64)
    rest = exact - shares
    broken = np.flatnonzero(rest > 1e-9)
    left = round(float(exact.sum())) - int(shares.sum())
    shares[broken[np.argsort(-(rest + owed)[broken], kind="stable")][:left]] += 1
    return shares


def _least(divided: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each one the smallest label in its part of a division."""
    least = np.full(int(divided.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, divided, labels)
    return least[divided]


def _present(units: NDArray[np.int64], codes: Codes, count: int) -> NDArray[np.bool_]:
    """Return which units have an image of which split, shape (count, 3)."""
    found = [np.bincount(units[codes == code], minlength=count) for code in range(len(SPLITS))]
    present: NDArray[np.bool_] = np.stack(found, axis=1) > 0
    return present
