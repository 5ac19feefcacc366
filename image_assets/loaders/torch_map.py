"""A snapshot as a map-style dataset for PyTorch: samples by their numbers."""

from collections.abc import Sequence
from typing import Any

from image_assets.loaders.order import Order, Share
from image_assets.loaders.sampler import RowSampler
from image_assets.loaders.samples import LoadOptions, SampleReader
from image_assets.loaders.snapshot import PinnedSnapshot
from image_assets.loaders.torch_tensors import SharedNumbers, as_tensors, share_of_process

# Encoded images that each process keeps: 2048 of 17 kB are 35 MB, the window of the sampler twice.
_KEPT_ROWS = 2048


class TorchImages:
    """Samples by number, for a ``DataLoader``: ``image`` (channels, height, width), ``label`` (class id), columns."""

    def __init__(self, snapshot: PinnedSnapshot, options: LoadOptions) -> None:
        self._reader = SampleReader(snapshot, options, kept_rows=_KEPT_ROWS)
        self._transform = options.tensor_transform
        self._shared = SharedNumbers(epoch=0)
        self.classes = snapshot.plan().label_names
        self._length = snapshot.plan().blocks.num_rows

    def sampler(self, order: Order | None = None, share: Share | None = None) -> RowSampler:
        """Return a sampler whose neighbours lie together: faster than an order that is drawn at large.

        Args:
            share: without it that of this process in ``torch.distributed``.
        """
        snapshot = self._reader.snapshot
        return RowSampler(snapshot, order or Order(), share_of_process(share))

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch a transform's ``rng`` draws for, in all workers."""
        self._shared.update({"epoch": epoch})

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._length

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return a sample.

        Raises:
            IndexError: there is no such sample; -1 is the last.
            StoreError: a segment is damaged or gone.
        """
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Return some samples: what a DataLoader calls, a batch at a time.

        Raises:
            IndexError: there is no such sample; -1 is the last.
            StoreError: a segment is damaged or gone.
        """
        if wrong := [number for number in numbers if not -self._length <= number < self._length]:
            raise IndexError(f"sample {wrong[0]} of a dataset of {self._length}")
        rows = [number % self._length for number in numbers]
        return list(as_tensors(self._reader.read(rows, self._shared["epoch"]), self._transform))
