"""The statistics of many images: counts, labels, histograms, exact channel sums; those of parts add up."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal bins from ``first`` on; what lies outside counts in the first or the last."""

    first: float
    width: float
    count: int

    def counts(self, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return how many values are in each bin, shape (count,)."""
        places = np.floor((np.asarray(values, np.float64) - self.first) / self.width)
        return np.bincount(places.clip(0, self.count - 1).astype(np.int64), minlength=self.count)

    def middle(self, number: int) -> float:
        """Return the value in the middle of a bin."""
        return self.first + (number + 0.5) * self.width


# Fine, so that quantiles can be told from them; ``size`` and ``aspect`` are of the raw images, in octaves.
HISTOGRAMS = {
    "brightness": Bins(0, 4, 64),  # mean luma of an image, 0-255
    "blur": Bins(0, 0.02, 50),
    "colourfulness": Bins(0, 2, 64),
    "size": Bins(0, 0.125, 128),  # log2 of the square root of width times height
    "aspect": Bins(0, 0.125, 64),  # log2 of the longer side over the shorter
}


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Mean and standard deviation of each channel over all pixels of ``images``, as parts of full scale (0-1)."""

    images: int
    pixels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _empty_histograms() -> dict[str, tuple[int, ...]]:
    return {name: (0,) * bins.count for name, bins in HISTOGRAMS.items()}


@dataclass(frozen=True, slots=True)
class DatasetStatistics:
    """What is counted of some images: each once, by its plain output (variant 0).

    ``measured`` of them count in the channels' sums and in the histograms of pixels; all count in the rest. ``sums``
    and ``squares`` are of pixels of 0-255, ``channels`` is 0 when none was measured. ``labels`` says how many images
    have each label, ``unlabelled`` how many have none; ``issues`` how many have each issue.
    """

    images: int = 0
    measured: int = 0
    channels: int = 0
    pixels: int = 0
    sums: tuple[int, int, int] = (0, 0, 0)
    squares: tuple[int, int, int] = (0, 0, 0)
    unlabelled: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    issues: Mapping[str, int] = field(default_factory=dict)
    histograms: Mapping[str, tuple[int, ...]] = field(default_factory=_empty_histograms)

    def __add__(self, other: "DatasetStatistics") -> "DatasetStatistics":
        return DatasetStatistics(
            images=self.images + other.images,
            measured=self.measured + other.measured,
            channels=max(self.channels, other.channels),
            pixels=self.pixels + other.pixels,
            sums=_added(self.sums, other.sums),
            squares=_added(self.squares, other.squares),
            unlabelled=self.unlabelled + other.unlabelled,
            labels=_counted(self.labels, other.labels),
            issues=_counted(self.issues, other.issues),
            histograms={name: _bins_of(self, other, name) for name in HISTOGRAMS},
        )

    @property
    def channel_statistics(self) -> ChannelStatistics | None:
        """Mean and standard deviation of each channel; None when no pixel was measured."""
        if not self.pixels:
            return None
        count = self.pixels
        both = list(zip(self.sums, self.squares, strict=True))[: self.channels]
        # Whole numbers until the last step, so that nothing is lost however large they are.
        mean = tuple(total / (255 * count) for total, _ in both)
        std = tuple(math.sqrt((count * square - total**2) / (255 * count) ** 2) for total, square in both)
        return ChannelStatistics(self.measured, count, mean, std)

    @property
    def usual_side_px(self) -> float:
        """The median of the square roots of width times height of the raw images, to half a bin; 0 without images."""
        counts = np.array(self.histograms["size"])
        if not counts.any():
            return 0.0
        place = int(np.searchsorted(counts.cumsum(), counts.sum() / 2))
        return float(2 ** HISTOGRAMS["size"].middle(place))


def summed(parts: Iterable[DatasetStatistics]) -> DatasetStatistics:
    """Return the statistics of all parts together."""
    return reduce(DatasetStatistics.__add__, parts, DatasetStatistics())


def _added(some: tuple[int, int, int], others: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (one + other for one, other in zip(some, others, strict=True))
    return (red, green, blue)


def _counted(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    names = sorted(some.keys() | others.keys())
    return {name: some.get(name, 0) + others.get(name, 0) for name in names}


def _bins_of(some: DatasetStatistics, other: DatasetStatistics, name: str) -> tuple[int, ...]:
    both = zip(some.histograms[name], other.histograms[name], strict=True)
    return tuple(one + another for one, another in both)
