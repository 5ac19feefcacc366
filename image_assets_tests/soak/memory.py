"""The memory of the servers over time: resident bytes, looked at every few seconds."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from image_assets_tests.soak.deployment import Deployment

_EVERY_S = 5.0
# A server imports and loads its definitions for so long; growth is measured from then on.
_WARM_S = 60.0


@dataclass(frozen=True, slots=True)
class Life:
    """One server from a start to its end: MB after it was warm, at the end, and at most."""

    name: str
    seconds: float
    warm_mb: float
    last_mb: float
    most_mb: float


class Memory:
    """A thread that looks, from ``start`` to ``stop``."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._seen: dict[tuple[str, int], list[tuple[float, float]]] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()
        self._thread.join()

    def longest_lives(self) -> Iterator[Life]:
        """Yield of each server the longest life."""
        for name in self._deployment.servers:
            lives = [_life(name, seen) for (server, _), seen in self._seen.items() if server == name]
            if lives:
                yield max(lives, key=lambda life: life.seconds)

    def _look(self) -> None:
        while not self._ending.wait(_EVERY_S):
            for name, server in self._deployment.servers.items():
                process = server.process
                if process is None or process.poll() is not None:
                    continue
                try:
                    resident_mb = psutil.Process(process.pid).memory_info().rss / 2**20
                except psutil.NoSuchProcess:
                    continue
                self._seen.setdefault((name, process.pid), []).append((time.monotonic(), resident_mb))


def _life(name: str, seen: list[tuple[float, float]]) -> Life:
    began_at = seen[0][0]
    sizes = [size for _, size in seen]
    warm = next((size for at, size in seen if at - began_at >= _WARM_S), sizes[-1])
    return Life(name, round(seen[-1][0] - began_at), round(warm), round(sizes[-1]), round(max(sizes)))
