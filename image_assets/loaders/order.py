"""In which order an epoch takes the rows of a dataset, and which of them each process gets: numbers alone, no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError
from image_assets.core.randomness import keyed_generator

Rows = NDArray[np.int64]
# Uneven: what is done when the rows cannot be divided evenly among the ranks.
Uneven = Literal["keep", "drop", "pad"]


@dataclass(frozen=True, slots=True)
class Order:
    """How an epoch's order is drawn.

    The order of the blocks (the pieces that a store is read in, 64 images) is drawn anew in every epoch, and then the
    order of the images within each ``window_rows`` (1,024) neighbours. Draws are keyed by ``seed``, the epoch and the
    dataset's digest. A window at least as long as the dataset makes every order equally likely. Without ``shuffle``
    the order is that of the index.
    """

    seed: int = 0
    shuffle: bool = True
    window_rows: int = 1024

    def __post_init__(self) -> None:
        """Refuse an impossible window."""
        if self.window_rows < 1:
            raise ConfigError(f"a window of {self.window_rows} rows is not possible; give 1 or more")


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of each epoch a rank gets, of ``world_size``.

    ``uneven`` says what is done when the ranks cannot have equally many: ``keep`` takes every sample exactly once, so
    some ranks have one more; ``drop`` leaves the last ones of the epoch out; ``pad`` takes its first ones again.
    """

    rank: int = 0
    world_size: int = 1
    uneven: Uneven = "keep"

    def __post_init__(self) -> None:
        """Refuse a rank that does not exist."""
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(f"rank {self.rank} of {self.world_size} does not exist; ranks count from 0")
        if self.uneven not in ("keep", "drop", "pad"):
            raise ConfigError(f"unknown uneven {self.uneven!r}; known: drop, keep, pad")

    def span(self, rows: int) -> tuple[int, int]:
        """Return the half-open range of the epoch's positions that the rank gets; past ``rows`` it begins again."""
        total = rows
        if self.uneven == "drop":
            total = rows // self.world_size * self.world_size
        if self.uneven == "pad":
            total = -(-rows // self.world_size) * self.world_size
        return part_of((0, total), self.rank, self.world_size)


class Blocks:
    """The rows of a dataset by the block that they are stored in.

    ``of_row`` says each row's block, shape (rows,). Blocks count from 0 in the order of their first rows.
    """

    def __init__(self, of_row: NDArray[np.int64]) -> None:
        _, first, inverse = np.unique(of_row, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int32)
        rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
        self.of_row: NDArray[np.int32] = rank[inverse.reshape(-1)]
        self._by_block = np.argsort(self.of_row, kind="stable")
        # Half-open: block b holds the rows by_block[ends[b]:ends[b + 1]].
        self._ends = np.concatenate([[0], np.cumsum(np.bincount(self.of_row, minlength=len(first)))]).astype(np.int64)

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self._ends) - 1

    @property
    def num_rows(self) -> int:
        """How many rows there are in all blocks."""
        return len(self.of_row)

    def rows(self, block: int) -> Rows:
        """Return the rows of a block, in the order of the index."""
        return self._by_block[self._ends[block] : self._ends[block + 1]]

    def span(self, sequence: NDArray[np.int64], first: int, end: int) -> Rows:
        """Return the rows at the positions ``[first, end)`` when blocks follow one another as in ``sequence``."""
        sizes = np.diff(self._ends)[sequence]
        ends = np.cumsum(sizes)
        inside = slice(int(np.searchsorted(ends, first, "right")), int(np.searchsorted(ends, end, "left")) + 1)
        parts = [self.rows(int(block)) for block in sequence[inside]]
        skipped = int(ends[inside.start] - sizes[inside.start]) if parts else 0
        rows = np.concatenate([np.empty(0, np.int64), *parts])
        return rows[first - skipped : end - skipped]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of one dataset: ``digest`` is the dataset's."""

    blocks: Blocks
    order: Order
    digest: str
    number: int

    def windows(self, first: int, end: int, *, skip: int = 0) -> Iterator[Rows]:
        """Yield the rows at the positions ``[first, end)``, a window at a time, without the first ``skip`` of them.

        What is skipped is not drawn; the rest is what it would be without skipping.
        """
        rows = self._positions(first, end)
        size = self.order.window_rows
        for start in range(skip // size * size, end - first, size):
            window = rows[start : start + size]
            if self.order.shuffle:
                draw = keyed_generator(self.order.seed, self.digest, f"window at {first + start}", self.number)
                window = draw.permutation(window)
            yield window[max(0, skip - start) :]

    def _positions(self, first: int, end: int) -> Rows:
        """Return the rows at the positions ``[first, end)`` of the epoch's order of blocks."""
        total = self.blocks.num_rows
        if not total or end <= first:
            return np.empty(0, np.int64)
        if not self.order.shuffle:
            return np.arange(first, end) % total
        draw = keyed_generator(self.order.seed, self.digest, "blocks", self.number)
        sequence = draw.permutation(len(self.blocks))
        parts = []
        # Positions past the last begin again, as often as it takes: there may be more ranks than rows.
        for turn in range(first // total, (end - 1) // total + 1):
            parts.append(
                self.blocks.span(sequence, max(first, turn * total) - turn * total, min(end - turn * total, total))
            )
        return np.concatenate(parts)


def part_of(span: tuple[int, int], number: int, parts: int) -> tuple[int, int]:
    """Return one of some consecutive parts of a half-open range; their lengths differ by one at most."""
    first, end = span
    return first + (end - first) * number // parts, first + (end - first) * (number + 1) // parts
