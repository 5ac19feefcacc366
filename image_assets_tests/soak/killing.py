"""SIGKILL at random times: one of the servers, a run, a decoding process, or all of them at once."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from image_assets_tests.soak.deployment import SERVERS, Deployment
from image_assets_tests.soak.options import KINDS, Options

# How long to wait for a run to be there before something else is drawn, and how far into it the kill comes at most.
_RUN_WAIT_S = 30.0
_INTO_RUN_S = 45.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: when, in seconds since the start, of what, and the process ids."""

    at_s: float
    kind: str
    pids: tuple[int, ...]


class Killer:
    """A thread that kills, from ``start`` to ``stop`` or for the minutes asked for; all is drawn from the seed."""

    def __init__(self, deployment: Deployment, options: Options) -> None:
        self.kills: list[Kill] = []
        self._deployment = deployment
        self._random = random.Random(f"kills {options.seed}")
        self._every_s = options.kill_every_s
        self._kinds = list(options.kinds)
        self._for_s = 60 * options.minutes
        self._began_at = time.monotonic()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._kill, daemon=True)

    def start(self) -> None:
        """Begin to kill."""
        self._thread.start()

    def stop(self) -> None:
        """Kill nothing any more."""
        self._ending.set()
        self._thread.join()

    def counts(self) -> Counter[str]:
        """Return how often what was killed."""
        return Counter(kill.kind for kill in self.kills)

    def _kill(self) -> None:
        while not self._ending.wait(self._random.expovariate(1 / self._every_s)) and self._kinds:
            if time.monotonic() - self._began_at > self._for_s:
                return
            (kind,) = self._random.choices(self._kinds, [KINDS[kind] for kind in self._kinds])
            into_s = self._random.uniform(0, _INTO_RUN_S)
            pids = self._victims(kind, into_s)
            if pids:
                kill = Kill(round(time.monotonic() - self._began_at, 1), kind, tuple(pids))
                self.kills.append(kill)
                print(f"{kill.at_s:7.1f} s  killed {kind} {' '.join(map(str, pids))}", flush=True)

    def _victims(self, kind: str, into_s: float) -> list[int]:
        deployment = self._deployment
        if kind in SERVERS:
            return _present(deployment.kill(kind))
        found: Callable[[], list[psutil.Process]] = deployment.run_processes
        if kind == "decoding process":
            found = deployment.engine_processes
        if kind != "everything" and not self._wait_for(found, into_s):
            return []
        if kind == "run":
            return _kill_all(found())
        if kind == "decoding process":
            alive = found()
            return _kill_all([self._random.choice(alive)] if alive else [])
        # The code server first: nobody then tells Dagster that the run died.
        servers = SERVERS if kind == "everything" else ("code server",)
        pids = [pid for name in servers for pid in _present(deployment.kill(name))]
        return pids + _kill_all(deployment.run_processes())

    def _wait_for(self, found: Callable[[], list[psutil.Process]], into_s: float) -> bool:
        """Wait until a run is there and was for some seconds more; return False when there is none in time."""
        deadline = time.monotonic() + _RUN_WAIT_S
        while not found():
            if time.monotonic() > deadline or self._ending.wait(0.2):
                return False
        until = time.monotonic() + into_s
        while time.monotonic() < until:
            if self._ending.wait(0.2) or not found():
                # It was shorter: the next one is killed early.
                return (
                    self._wait_for(found, into_s / 4) if into_s > 0.5 and not self._ending.is_set() else bool(found())
                )
        return True


def _present(pid: int | None) -> list[int]:
    return [] if pid is None else [pid]


def _kill_all(processes: Sequence[psutil.Process]) -> list[int]:
    killed = []
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
        killed.append(process.pid)
    return killed
