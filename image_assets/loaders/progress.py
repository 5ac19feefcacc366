"""How far an epoch has come, as numbers that can be saved, and where each worker goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from image_assets.core.errors import ConfigError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """How many samples of its part each worker has given in an epoch; ``first`` is the worker whose turn it is.

    Without workers the one process counts as one.
    """

    epoch: int
    done: tuple[int, ...]
    first: int = 0

    def place_of(self, worker: int, workers: int) -> tuple[int, int]:
        """Return which part of the epoch a worker goes on with, and how many samples of it are done.

        Args:
            worker: its number among the ``workers``; the one whose turn it was is now worker 0.

        Raises:
            ConfigError: there were more or fewer workers.
        """
        if workers != len(self.done):
            raise ConfigError(
                f"this state is of {len(self.done)} worker(s), there are {workers}: go on with as many "
                "(num_workers), or begin the epoch anew"
            )
        part = (worker + self.first) % workers
        return part, self.done[part]


@dataclass(frozen=True, slots=True)
class Batching:
    """How a DataLoader cuts samples into batches: its arguments of these names."""

    batch_size: int
    num_workers: int = 0
    drop_last: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        if self.batch_size < 1 or self.num_workers < 0:
            raise ConfigError(f"batches of {self.batch_size} by {self.num_workers} workers are not possible")


def progress_after(batches: int, epoch: int, lengths: Sequence[int], batching: Batching) -> Progress:
    """Return the progress of an epoch of which a DataLoader has given some batches.

    Args:
        lengths: how many samples each worker's part has.

    Raises:
        ConfigError: the epoch has fewer batches.
    """
    size = batching.batch_size
    of_worker = [length // size if batching.drop_last else -(-length // size) for length in lengths]
    # Workers take turns; one that has no batch left is passed over.
    turns = [
        worker
        for turn in range(max(of_worker, default=0))
        for worker in range(len(lengths))
        if turn < of_worker[worker]
    ]
    if not 0 <= batches <= len(turns):
        raise ConfigError(f"{batches} batches of an epoch that has {len(turns)}")
    given = [turns[:batches].count(worker) for worker in range(len(lengths))]
    done = tuple(min(count * size, length) for count, length in zip(given, lengths, strict=True))
    return Progress(epoch, done, turns[batches] if batches < len(turns) else 0)


def progress_to_state(progress: Progress, pinned: Mapping[str, Any]) -> dict[str, Any]:
    """Return progress as plain numbers and texts.

    Args:
        pinned: what must be the same when it is loaded.
    """
    where = {"epoch": progress.epoch, "done": list(progress.done), "first": progress.first}
    return {"format": FORMAT, **where, "pinned": dict(pinned)}


def progress_from_state(state: Mapping[str, Any], pinned: Mapping[str, Any]) -> Progress:
    """Return the progress that a state holds.

    Raises:
        ConfigError: it is no such state, or of another dataset, order or share.
    """
    if state.get("format") != FORMAT or not isinstance(state.get("pinned"), Mapping):
        raise ConfigError(f"this is no state of a dataset of format {FORMAT}: {sorted(state)}")
    was = state["pinned"]
    if differing := [name for name in pinned if was.get(name) != pinned[name]]:
        found = ", ".join(f"{name} was {was.get(name)!r} and is {pinned[name]!r}" for name in differing)
        raise ConfigError(f"this state does not fit: {found}")
    return Progress(int(state["epoch"]), tuple(map(int, state["done"])), int(state["first"]))
