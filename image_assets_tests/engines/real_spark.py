"""A Spark standalone cluster as a team would start it, a master and two workers, on the loopback of this machine."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from image_assets_tests.engines.marking import MARK, marked
from image_assets_tests.servers import free_port

# More than a start takes on a slow and busy machine.
PATIENCE_S = 120.0
EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"
_DEPLOY = "org.apache.spark.deploy"
# Small, and quick to start.
_JVM = ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]

# Without the release of Scala a worker looks for a folder that only a download of Spark has.
_ENVIRONMENT = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_SCALA_VERSION": "2.13"}


@contextmanager
def real_spark(*, workers: int = 2, cores: int = 4) -> Iterator["RealSpark"]:
    """Start a master and workers of so many cores each; when the block ends nothing of them is left."""
    folder = Path(tempfile.mkdtemp(prefix="spark-"))
    cluster = RealSpark(folder, cores)
    try:
        cluster.start(workers)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def java() -> str | None:
    """Return the Java that Spark takes, or None."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which(str(Path(home) / "bin/java")) if home else shutil.which("java")


class RealSpark:
    """A master at ``address`` and workers, each a process that starts executors for whoever works there."""

    def __init__(self, folder: Path, cores: int) -> None:
        self._folder = folder
        self._cores = cores
        self._port = free_port()
        self._started = 0
        self._workers: list[subprocess.Popen[bytes]] = []
        self.address = f"spark://127.0.0.1:{self._port}"

    def start(self, workers: int) -> None:
        # The master does not see what its workers start.
        self._master = self._run("master.Master", "--port", str(self._port))
        self._await(lambda: "Starting Spark master" in self._said())
        for _ in range(workers):
            self._start_worker()
        self._await_workers()

    @property
    def workers(self) -> list[int]:
        """The processes of the workers."""
        return [process.pid for process in self._workers]

    def children(self) -> list[psutil.Process]:
        """The processes that workers started and that still are: executors, their Python, and the children of that."""
        return [
            process for process in marked(str(self._folder)) if process.pid not in {*self.workers, self._master.pid}
        ]

    def executors(self) -> list[psutil.Process]:
        return [process for process in self.children() if EXECUTOR in _command(process)]

    def pythons(self) -> list[psutil.Process]:
        """The Python processes that tasks are given to, without the one that they are forked from."""
        found = []
        for process in self.children():
            with suppress(psutil.Error):
                if "pyspark.daemon" in _command(process) and "pyspark.daemon" in _command(process.parent()):
                    found.append(process)
        return found

    def kill_worker(self) -> None:
        """End the oldest worker as a lost machine ends, with all that it started."""
        process = self._workers.pop(0)
        _kill([*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)])
        process.wait()

    def add_worker(self) -> None:
        """Start a worker beside those that there are."""
        self._start_worker()
        self._await_workers()

    def stop(self) -> None:
        _kill(marked(str(self._folder)))
        for process in [*self._workers, self._master]:
            process.wait()

    def _start_worker(self) -> None:
        options = ["--cores", str(self._cores), "--memory", "4g", "--work-dir", str(self._folder / "work")]
        self._workers.append(self._run("worker.Worker", *options, self.address))
        self._started += 1

    def _run(self, what: str, *arguments: str) -> "subprocess.Popen[bytes]":
        import pyspark

        home = Path(pyspark.__file__).parent
        options = [*_JVM, f"-Djava.io.tmpdir={self._folder}", f"-Dspark.local.dir={self._folder}"]
        command = [
            java(),
            "-cp",
            f"{home}/jars/*",
            *options,
            f"{_DEPLOY}.{what}",
            "--host",
            "127.0.0.1",
            "--webui-port",
            "0",
        ]
        with (self._folder / "said").open("ab") as said:
            return subprocess.Popen(
                [*command, *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self._folder,
                env={**os.environ, **_ENVIRONMENT, "SPARK_HOME": str(home), MARK: str(self._folder)},
                start_new_session=True,
            )  # fmt: skip

    def _said(self) -> str:
        return (self._folder / "said").read_text(errors="replace")

    def _await_workers(self) -> None:
        self._await(lambda: len(re.findall("Registering worker 127", self._said())) >= self._started)

    def _await(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert all(process.poll() is None for process in [self._master, *self._workers]), self._said()
            assert time.monotonic() < until, self._said()
            time.sleep(0.05)


def _command(process: psutil.Process | None) -> list[str]:
    try:
        return process.cmdline() if process is not None else []
    except psutil.Error:
        return []


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=PATIENCE_S)


if __name__ == "__main__":
    with real_spark() as running:
        print(running.address, flush=True)
        sys.stdin.read()
