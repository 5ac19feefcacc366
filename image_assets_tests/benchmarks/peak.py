"""The highest memory that a benchmark's own process comes to, watched from a thread."""

import threading
from collections.abc import Callable

import psutil

_SAMPLE_EVERY_S = 0.02


class Peak:
    """The highest values of what ``look`` says of this process, in bytes, by their names."""

    def __init__(self, look: Callable[[psutil.Process], dict[str, int]]) -> None:
        self._look = look
        self._process = psutil.Process()
        self.bytes = look(self._process)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            for name, value in self._look(self._process).items():
                self.bytes[name] = max(self.bytes[name], value)
            if self._done.wait(_SAMPLE_EVERY_S):
                return


def anonymous(process: psutil.Process) -> dict[str, int]:
    """Return the pages that are of no file."""
    info = process.memory_info()
    return {"anonymous": info.rss - info.shared}


def shares(process: psutil.Process) -> dict[str, int]:
    """Return a process's part of shared pages, its own pages, and those that are of no file; takes longer."""
    info = process.memory_full_info()
    return {"pss": info.pss, "uss": info.uss, "anonymous": info.rss - info.shared}
