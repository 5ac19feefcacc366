"""How much memory this process and all it started hold at their peak."""

import threading
from contextlib import suppress
from types import TracebackType

import psutil

# A sample costs about 2 ms for each process.
_INTERVAL_S = 0.2


class PeakMemory:
    """Samples the memory of all processes of a run while its ``with`` block lasts.

    A page shared by several processes counts once in all (PSS where the system tells it, else RSS).
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            self.peak_bytes = max(self.peak_bytes, _held_bytes(me))
            if self._done.wait(_INTERVAL_S):
                return


def _held_bytes(process: psutil.Process) -> int:
    total = 0
    for member in [process, *process.children(recursive=True)]:
        # A worker may end between being named and being measured.
        with suppress(psutil.Error):
            info = member.memory_full_info()
            total += getattr(info, "pss", info.rss)
    return total
