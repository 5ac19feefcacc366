"""A Dask cluster as a team would start it, a scheduler and workers as programs, on the loopback of this machine."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import psutil

# More than a start takes on a slow and busy machine.
PATIENCE_S = 60.0
_PR_SET_PDEATHSIG = 1


@contextmanager
def real_dask(workers: int = 2, environment: Mapping[str, str] = MappingProxyType({})) -> Iterator["RealDask"]:
    """Start a scheduler and workers of one thread each; when the block ends nothing of them is left.

    Args:
        environment: what the programs see beside this process's own environment.
    """
    with tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True) as folder:
        cluster = RealDask(Path(folder), environment)
        try:
            cluster.start(workers)
            yield cluster
        finally:
            cluster.stop()


class RealDask:
    """A scheduler at ``address`` and its workers.

    They have no nanny: a killed one is a machine that lost its power, and nobody starts it again.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._workers: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def start(self, workers: int) -> None:
        file = self._folder / "scheduler.json"
        self._scheduler = self._run("scheduler", "--port", "0", "--scheduler-file", str(file))
        self._await(file.exists)
        self.address = json.loads(file.read_text())["address"]
        for _ in range(workers):
            self._workers.append(self._start_worker())
        self._await_workers()

    @property
    def workers(self) -> list[int]:
        """The processes of the workers."""
        return [process.pid for process in self._workers]

    def add_worker(self, **environment: str) -> None:
        """Start a worker beside those that there are; it sees this environment, too."""
        self._workers.append(self._start_worker(**environment))
        self._await_workers()

    def kill_worker(self) -> None:
        """End the oldest worker as a lost machine ends, with the processes that it started."""
        _kill(self._workers.pop(0))

    def kill_scheduler(self) -> None:
        """End the scheduler in the same way."""
        _kill(self._scheduler)

    def children(self) -> list[psutil.Process]:
        """The processes that the workers started."""
        found = []
        for pid in self.workers:
            with suppress(psutil.NoSuchProcess):
                found += psutil.Process(pid).children(recursive=True)
        return found

    def stop(self) -> None:
        for process in [*self._workers, self._scheduler]:
            _kill(process)

    def _start_worker(self, **environment: str) -> "subprocess.Popen[bytes]":
        options = ["--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--local-directory", str(self._folder)]
        return self._run("worker", self.address, *options, **environment)

    def _run(self, what: str, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "dask", what, *arguments, "--host", "127.0.0.1"]
        with (self._folder / "said").open("ab") as said:
            return subprocess.Popen(
                [*command, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"], stdin=subprocess.DEVNULL,
                stdout=said, stderr=said, cwd=self._folder,
                env={**os.environ, **self._environment, **environment},
                start_new_session=True, preexec_fn=_end_with_parent,  # noqa: PLW1509  it only asks the kernel
            )  # fmt: skip

    def _await_workers(self) -> None:
        from distributed import Client

        with Client(self.address, set_as_default=False, timeout=PATIENCE_S) as client:
            self._await(lambda: len(client.nthreads()) >= len(self._workers))

    def _await(self, condition) -> None:
        until = time.monotonic() + PATIENCE_S
        while not condition():
            said = (self._folder / "said").read_text()
            assert all(process.poll() is None for process in [self._scheduler, *self._workers]), said
            assert time.monotonic() < until, said
            time.sleep(0.02)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(psutil.NoSuchProcess):
        for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)
    process.wait()


def _end_with_parent() -> None:
    """Let the kernel end this process when the test process is killed and cannot."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
