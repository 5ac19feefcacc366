"""Tasks in worker processes of this machine; a worker that dies or hangs costs its task and is replaced."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import IO, Any

from image_assets.core.errors import EngineError
from image_assets.engines.base import Beat, Done, Lost, R, T
from image_assets.engines.pulse import Pulse

_START_TIMEOUT_S = 60.0
# Beats wake nobody, so deadlines are looked at again this often.
_LOOK_EVERY_S = 0.5
_THREADS = os.cpu_count() or 1
_CPU_GRACE_S = 5.0
# A decoded photo is half a megabyte: by default glibc gives such blocks back to the system and takes them again for
# each image, a fifth of a worker's time (measured: 2.4 against 1.95 ms an image). Other C libraries ignore this.
# Arrow's own allocator reserves a gigabyte of addresses at a time, which the limit of a worker's memory refuses.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


class LocalEngine:
    """A few worker processes, each fed one task at a time over its own socket.

    Workers are started as fresh interpreters and not forked: a fork copies locks that the parent's threads hold,
    and a fresh one does not import the parent's main module (Dagster's costs 100 MB).
    """

    name = "local"
    far = False

    def __init__(
        self, workers: int, item_timeout_s: float, memory_bytes: int = 2**30, more_path: Sequence[str] = ()
    ) -> None:
        """Start nothing yet.

        Args:
            item_timeout_s: how long one item of a task may take.
            memory_bytes: what a worker may take beyond what it holds before its first task.
            more_path: where workers look for modules, after the places where this process does.
        """
        self._limit = workers
        self._path = [*sys.path, *(place for place in more_path if place not in sys.path)]
        self._item_timeout_s = item_timeout_s
        self._memory_bytes = memory_bytes
        self._workers: list[_Worker] = []
        self._aborted = False

    def map(self, function: Callable[[T, Beat], R], tasks: Iterable[T]) -> Iterator[Done[T, R] | Lost[T]]:
        """Yield each task's outcome as it comes.

        Raises:
            ImageAssetsError: what the function raised, as it raised it.
            EngineError: a worker cannot be started.
        """
        queue = iter(tasks)
        more = True
        while True:
            while more and (worker := self._idle_worker()) is not None:
                task = next(queue, _END)
                if task is _END:
                    more = False
                else:
                    worker.give(function, task)
                if self._aborted:
                    worker.process.kill()
            if not any(worker.busy for worker in self._workers):
                return
            yield from self._collect()

    def __enter__(self) -> "LocalEngine":
        return self

    def __exit__(self, *exc: object) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def abort(self) -> None:
        """Kill the workers, from another thread than that of ``map``: what they are on is lost."""
        self._aborted = True
        for worker in list(self._workers):
            worker.process.kill()

    def _idle_worker(self) -> "_Worker | None":
        for worker in self._workers:
            if not worker.busy:
                return worker
        if len(self._workers) < self._limit:
            self._workers.append(_Worker(self._memory_bytes, self._item_timeout_s, self._path))
            return self._workers[-1]
        return None

    def _collect(self) -> Iterator[Any]:
        """Wait until something happens, then yield the outcomes that are in."""
        busy = {worker.connection: worker for worker in self._workers if worker.busy}
        deadline = min(worker.deadline(self._item_timeout_s) for worker in busy.values())
        ready = wait(list(busy), timeout=min(max(0.0, deadline - time.monotonic()), _LOOK_EVERY_S))
        for connection in ready:
            worker = busy[connection]  # type: ignore[index]
            try:
                outcome = worker.receive()
            except (EOFError, OSError):
                epitaph = worker.epitaph()
                reason = "decoder_timeout" if epitaph.startswith("SIGXCPU") else "decoder_crashed"
                yield self._bury(worker, reason, epitaph)
            else:
                yield outcome
        now = time.monotonic()
        for worker in busy.values():
            if worker.busy and worker.deadline(self._item_timeout_s) <= now:
                yield self._bury(worker, "decoder_timeout", f"longer than {self._item_timeout_s:g} s")

    def _bury(self, worker: "_Worker", reason: str, detail: str) -> Lost[Any]:
        self._workers.remove(worker)
        worker.stop()
        position = worker.pulse.read()[0]
        if not worker.started:
            raise EngineError(f"a worker process could not start: {detail}")
        return Lost(worker.task, position, reason, detail)


_END: Any = object()


class _Worker:
    """One worker process and what it is on."""

    def __init__(self, memory_bytes: int, item_timeout_s: float, path: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.pulse, beats = Pulse.create()
        handles = [theirs.fileno(), beats.fileno()]
        # By the clock it is stopped from here; computing in several threads it may take more of the processor.
        limits = [str(memory_bytes), str(item_timeout_s * _THREADS + _CPU_GRACE_S)]
        command = [sys.executable, "-c", _COMMAND, *map(str, handles), *limits]
        try:
            # Its own session, so that Ctrl-C reaches the run alone, which then stops its workers.
            self.process = subprocess.Popen(
                command, pass_fds=handles, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
                start_new_session=True, env={**os.environ, **_MALLOC, "PYTHONPATH": os.pathsep.join(path)},
            )  # fmt: skip
        except OSError as error:
            raise EngineError(f"a worker process could not start: {error}") from error
        finally:
            theirs.close()
            beats.close()
        self.connection = Connection(ours.detach())
        self.busy = False
        # A function may hold much: it is sent once, and again only when another one comes.
        self.function: object = None
        self.task: Any = None
        self.given_at = time.monotonic()

    def give(self, function: object, task: object) -> None:
        self.task, self.busy, self.given_at = task, True, time.monotonic()
        try:
            if self.function is not function:
                self.connection.send(("function", function))
                self.function = function
            self.connection.send(("task", task))
        except OSError:
            return  # it died while idle: the next receive says so, and the task is lost and asked for again

    def receive(self) -> Done[Any, Any]:
        """Return an outcome.

        Raises:
            EOFError: the worker died.
        """
        kind, value = self.connection.recv()
        self.busy = False
        if kind == "error":
            raise value
        return Done(self.task, value)

    @property
    def started(self) -> bool:
        """Whether it ever came to work on a task."""
        return self.pulse.read()[1] > 0

    def deadline(self, item_timeout_s: float) -> float:
        """Return until when it may be silent, in seconds of the monotonic clock."""
        if not self.started:
            return self.given_at + _START_TIMEOUT_S + item_timeout_s
        return max(self.given_at, self.pulse.read()[1]) + item_timeout_s

    def epitaph(self) -> str:
        """Return what is known of a death: the signal or exit code, and the last line it wrote."""
        code = self.process.wait()
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self.errors.seek(max(0, self.errors.seek(0, os.SEEK_END) - 4096))
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"{cause}{': ' + lines[-1][:200] if lines else ''}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self.errors.close()


_COMMAND = (
    "import sys; from image_assets.engines.worker import serve; serve(*map(int, sys.argv[1:4]), float(sys.argv[4]))"
)
