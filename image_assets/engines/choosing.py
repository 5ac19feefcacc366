"""Which engine a run takes: what the settings name, or what pays for so many bytes."""

from collections.abc import Callable
from dataclasses import dataclass

from image_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine's name in ``ENGINES``, and why it was taken, for people to read."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} ({self.why})"


def choose_engine(settings: Settings, bytes_to_do: Callable[[], int]) -> Choice:
    """Return the engine of a run.

    A cluster that runs already is worth it when the work takes longer than to reach it and to start a worker's child
    on each of its machines; one on this machine has nothing that plain processes have not, so ``auto`` never starts
    one.

    Args:
        bytes_to_do: what the images that must be looked into weigh; only called where that decides.
    """
    engine = settings.engine
    if engine.kind != "auto":
        if engine.kind == "local" and not settings.workers:
            return Choice("inline", "workers is 0")
        where = "" if engine.address is None or engine.kind == "inline" else f" at {engine.address}"
        return Choice(engine.kind, f"the settings say so{where if engine.cluster == engine.kind else ''}")
    if not settings.workers:
        return Choice("inline", "workers is 0")
    if engine.address is None or engine.cluster is None:
        return Choice("local", f"{settings.workers} processes of this machine; no cluster's address is set")
    found, least = bytes_to_do(), engine.cluster_from_bytes
    if found < least:
        return Choice("local", f"{_megabytes(found)} to do, a cluster from {_megabytes(least)} on")
    return Choice(engine.cluster, f"{_megabytes(found)} to do, at least {_megabytes(least)}, at {engine.address}")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 10**6:,.0f} MB"
