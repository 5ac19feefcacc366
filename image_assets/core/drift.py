"""How far two counts of the same thing are apart, and how far they would be by chance alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The part of chance differences that is taken for no drift, as a quantile of the standard normal distribution: 99.9 %.
_CHANCE_Z = 3.0902
_PARTS = 10


@dataclass(frozen=True, slots=True)
class Drift:
    """A distance between two distributions, and the one that two samples of the same distribution rarely reach."""

    distance: float
    by_chance: float


def population_stability(before: Sequence[int], after: Sequence[int]) -> Drift:
    """Return the population stability index of two histograms with the same bins; the counts must not be zero.

    The bins are put together to tenths of what was there before, and half an image is added to each. Siddiqi: Credit
    Risk Scorecards (2006); for chance Yurdakul, Naranjo: Statistical properties of the population stability index
    (2020): without drift it goes as (1/n + 1/m) chi² of one less than the bins.
    """
    counts = _tenths(np.array(before, np.float64), np.array(after, np.float64))
    shares = (counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 0.5 * counts.shape[1])
    old, new = shares
    distance = math.fsum(((new - old) * np.log(new / old)).tolist())
    n, m = counts.sum(axis=1)
    return Drift(distance, (1 / n + 1 / m) * _chi_square(counts.shape[1] - 1))


def jensen_shannon(before: Mapping[str, int], after: Mapping[str, int]) -> Drift:
    """Return the Jensen-Shannon distance of two counts of names: 0 for the same shares, 1 when no name is shared.

    Lin: Divergence measures based on the Shannon entropy (1991); the square root is a metric (Endres, Schindelin 2003).
    For small differences the divergence in nats is an eighth of the chi² distance, which tells what chance does.
    """
    names = sorted(before.keys() | after.keys())
    counts = np.array([[count.get(name, 0) for name in names] for count in (before, after)], np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    middle = shares.mean(axis=0)
    parts = np.where(shares > 0, shares, 1) / np.where(middle > 0, middle, 1)
    bits = math.fsum((np.where(shares > 0, shares, 0) * np.log2(parts)).ravel().tolist()) / 2
    n, m = counts.sum(axis=1)
    chance = (1 / n + 1 / m) * _chi_square(int((middle > 0).sum()) - 1) / (8 * math.log(2))
    return Drift(math.sqrt(max(bits, 0.0)), math.sqrt(chance))


def _tenths(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return both counts in bins that each hold about a tenth of what was before, shape (2, bins)."""
    so_far = before.cumsum()
    cuts = np.searchsorted(so_far, so_far[-1] * np.arange(1, _PARTS) / _PARTS) + 1
    starts = np.unique(np.concatenate([[0], cuts[cuts < len(before)]]))
    found: NDArray[np.float64] = np.add.reduceat(np.stack([before, after]), starts, axis=1)
    return found


def _chi_square(degrees: int) -> float:
    """Return the 99.9 % quantile of the chi² distribution; Wilson and Hilferty (1931), within 2 % from 2 degrees on."""
    if degrees < 1:
        return 0.0
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + _CHANCE_Z * math.sqrt(part)) ** 3)
