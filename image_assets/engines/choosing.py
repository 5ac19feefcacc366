"""Which engine a run takes: what the settings name, or what pays for so many bytes."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from image_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine's name in ``ENGINES``, how many tasks it does at once, and why it was taken, for people to read."""

    name: str
    workers: int
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def choose_engine(settings: Settings, bytes_to_do: Callable[[], int]) -> Choice:
    """Return the engine of a run.

    A cluster that runs already is worth it when the work takes longer than to reach it and to start a worker's child
    on each of its machines; one on this machine has nothing that plain processes have not, so ``auto`` never starts
    one.

    Args:
        bytes_to_do: what the images that must be looked into weigh; only called where that decides.
    """
    engine, workers = settings.engine, settings.workers
    if not workers or engine.kind == "inline":
        return Choice("inline", 0, "workers is 0" if not workers else "the settings say so")
    if engine.kind != "auto":
        place = f" at {engine.address}" if engine.address is not None and engine.kind == engine.cluster else ""
        return Choice(engine.kind, workers, f"{_tasks(workers)}{place}, as the settings say")
    if engine.address is None or engine.cluster is None:
        return Choice("local", workers, f"{_tasks(workers)} on this machine; no cluster's address is set")
    found, least = bytes_to_do(), engine.cluster_from_bytes
    if found < least:
        # The number is the cluster's: this machine may be a small one.
        here = threads_here(workers)
        return Choice("local", here, f"{_tasks(here)} for {_megabytes(found)}; a cluster from {_megabytes(least)} on")
    return Choice(engine.cluster, workers, f"{_tasks(workers)} at {engine.address} for {_megabytes(found)}")


def threads_here(workers: int) -> int:
    """Return how many threads to compute with on this machine: more workers than it has cores are a cluster's."""
    cores = os.cpu_count() or 1
    return min(workers or cores, cores)


def _tasks(workers: int) -> str:
    return "1 task at once" if workers == 1 else f"{workers} tasks at once"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 10**6:,.0f} MB"
