"""An order of rows for map-style datasets: a sampler as PyTorch's DataLoader takes it, without PyTorch."""

from collections.abc import Iterator

import numpy as np

from image_assets.core.errors import ConfigError
from image_assets.loaders.order import Epoch, Order, Share
from image_assets.loaders.snapshot import PinnedSnapshot


class RowSampler:
    """The samples of one rank, in an order drawn from (seed, epoch) that keeps to the blocks a store is read in.

    Call :meth:`set_epoch` before each epoch, as with PyTorch's ``DistributedSampler``.
    """

    def __init__(self, snapshot: PinnedSnapshot, order: Order, share: Share) -> None:
        self._snapshot = snapshot
        self._order = order
        self._span = share.span(snapshot.plan().blocks.num_rows)
        self._epoch = 0
        self._skip = 0

    def set_epoch(self, epoch: int, *, done: int = 0) -> None:
        """Say which epoch the next iteration is, and how many of its samples to leave out at the start.

        Args:
            done: batches given times batch size goes on where a DataLoader was broken off, with any number of workers.

        Raises:
            ConfigError: the rank has fewer samples.
        """
        if not 0 <= done <= self._span[1] - self._span[0]:
            raise ConfigError(f"{done} samples done of an epoch of {self._span[1] - self._span[0]}")
        self._epoch, self._skip = epoch, done

    def __len__(self) -> int:
        """Return how many samples the next iteration has."""
        return self._span[1] - self._span[0] - self._skip

    def __iter__(self) -> Iterator[int]:
        blocks = self._snapshot.plan().blocks
        epoch = Epoch(blocks, self._order, self._snapshot.identity, self._epoch)
        skip, self._skip = self._skip, 0
        for window in epoch.windows(*self._span, skip=skip):
            yield from np.asarray(window).tolist()
