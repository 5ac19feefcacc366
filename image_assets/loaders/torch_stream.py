"""A snapshot as an iterable dataset for PyTorch: every sample once an epoch, over all ranks and workers."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from image_assets.core.errors import ConfigError
from image_assets.loaders.order import Epoch, Order, Share, part_of
from image_assets.loaders.progress import (
    Batching,
    Progress,
    progress_after,
    progress_from_state,
    progress_to_state,
)
from image_assets.loaders.samples import LoadOptions, SampleReader
from image_assets.loaders.snapshot import PinnedSnapshot
from image_assets.loaders.torch_tensors import SharedNumbers, as_tensors, share_of_process


class TorchStream(IterableDataset[dict[str, Any]]):
    """Samples in an order drawn from (seed, epoch): ``image`` (channels, height, width), ``label``, columns.

    Call :meth:`set_epoch` before each epoch. ``torchdata``'s StatefulDataLoader saves and resumes it as it is; with
    PyTorch's DataLoader and workers, :meth:`state_after` says where an epoch is.
    """

    def __init__(
        self, snapshot: PinnedSnapshot, options: LoadOptions, order: Order | None = None, share: Share | None = None
    ) -> None:
        self._snapshot = snapshot
        self._transform = options.tensor_transform
        self._order = order or Order()
        self._share = share_of_process(share)
        plan = snapshot.plan()
        self.classes = plan.label_names
        self._span = self._share.span(plan.blocks.num_rows)
        # A window, and the blocks at its ends that the next one has a part of.
        self._reader = SampleReader(snapshot, options, kept_rows=2 * self._order.window_rows)
        self._shared = SharedNumbers(epoch=0, epoch_in_workers=-1)
        self._resumed: Progress | None = None
        self._progress: Progress | None = None

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is, in all workers."""
        self._shared.update({"epoch": epoch})

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration is of."""
        return self._shared["epoch"]

    def __len__(self) -> int:
        """Return how many samples an epoch has for this rank, all workers together."""
        return self._span[1] - self._span[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker, workers = _worker()
        number = self.epoch
        begun = self._resumed if self._resumed is not None and self._resumed.epoch == number else None
        self._resumed = None
        if get_worker_info() is not None:
            self._shared.update({"epoch_in_workers": number})
        part, done = begun.place_of(worker, workers) if begun is not None else (worker, 0)
        self._progress = _of_one(number, part, workers, done)
        return self._samples(number, part, workers, done)

    def state_dict(self) -> dict[str, Any]:
        """Return where the epoch is: after the samples that this process has given.

        Raises:
            ConfigError: workers have given them, which this process does not see.
        """
        if self._progress is None and get_worker_info() is None and self._shared["epoch_in_workers"] == self.epoch:
            raise ConfigError(
                "the samples of this epoch were read by workers; use torchdata's StatefulDataLoader, or "
                "state_after(batches, Batching(batch_size, num_workers))"
            )
        progress = self._progress or self._resumed
        if progress is None or progress.epoch != self.epoch:
            progress = _of_one(self.epoch, 0, _worker()[1], 0)
        return progress_to_state(progress, self._pinned)

    def state_after(self, batches: int, batching: Batching) -> dict[str, Any]:
        """Return where the epoch is after a DataLoader of PyTorch has given some batches of it, from its beginning.

        Raises:
            ConfigError: the epoch has fewer batches.
        """
        workers = max(1, batching.num_workers)
        parts = [part_of(self._span, worker, workers) for worker in range(workers)]
        progress = progress_after(batches, self.epoch, [end - first for first, end in parts], batching)
        return progress_to_state(progress, self._pinned)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken, at the next iteration; after the last sample that is the next epoch.

        Raises:
            ConfigError: it is no such state, or of another snapshot, order or share.
        """
        progress = progress_from_state(state, self._pinned)
        # A worker is given the last state before it begins the next epoch: then the state is over.
        if get_worker_info() is not None and progress.epoch < self.epoch:
            return
        if get_worker_info() is None and 0 < len(self) <= sum(progress.done):
            progress = Progress(progress.epoch + 1, (0,) * len(progress.done))
        self._resumed, self._progress = progress, None
        self.set_epoch(progress.epoch)

    def _samples(self, number: int, part: int, workers: int, done: int) -> Iterator[dict[str, Any]]:
        epoch = Epoch(self._snapshot.plan().blocks, self._order, self._snapshot.identity, number)
        for window in epoch.windows(*part_of(self._span, part, workers), skip=done):
            for sample in as_tensors(self._reader.read(window, number), self._transform):
                done += 1
                # Before it is given: whoever has the sample sees it counted.
                self._progress = _of_one(number, part, workers, done)
                yield sample

    @property
    def _pinned(self) -> dict[str, Any]:
        snapshot = {"snapshot": self._snapshot.number, "identity": self._snapshot.identity}
        return {**snapshot, "order": asdict(self._order), "share": asdict(self._share)}


def _worker() -> tuple[int, int]:
    """Return this process' number among the workers, and how many there are: one where there are none."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


def _of_one(epoch: int, part: int, workers: int, done: int) -> Progress:
    return Progress(epoch, tuple(done if number == part else 0 for number in range(workers)))
