"""Ray: a cluster that runs already, or one of this machine that is started for an engine alone."""

import importlib.util
import os
import pickle
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import IO, Any

import psutil

from image_assets.core.errors import EngineError, MissingExtraError
from image_assets.engines.node import Answer, Job
from image_assets.engines.ray_session import Start, end_processes, refuse_silence

_CONNECT_S = 60.0
# Ray Client ends its tries by itself, each within half a minute or so.
_CLIENT_S = 180.0
_START_S = 120.0
_END_S = 15.0
_LOOK_EVERY_S = 0.5
# So long a cluster may take to add a machine that is large enough for a task.
_GROW_S = 300.0
# Ray's sockets lie up to 65 characters below its folder, and the system allows 107 in all.
_MOST_CHARACTERS = 40


class RayCluster:
    """A connection to Ray, held by a process of its own.

    Ray takes over signals, environment and hooks of the process that connects, allows one connection in it, and ends
    it with the cluster. In a process of its own that touches nobody: a Ray connection that the run's process has of
    its own is not used, and not ended.
    """

    def __init__(self, address: str | None, workers: int, memory_bytes: int) -> None:
        """Connect, or start a cluster on this machine.

        Raises:
            MissingExtraError: Ray is not installed.
            EngineError: the cluster does not answer, or is of another version; or none can be started.
        """
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError("Ray is not installed: pip install 'image_assets[ray]'")
        if address is not None:
            refuse_silence(address)
        self.slots = max(workers, 1)
        self._address = address
        self._tickets = 0
        self._ready = False
        self._folder = None if address is not None else _short_folder()
        ours, theirs = socket.socketpair()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs:
            # Its own session, so that Ctrl-C reaches the run alone. When the run is gone, it ends all it started.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=self._errors, stderr=self._errors, start_new_session=True,
                env=_environment(own=address is None),
            )  # fmt: skip
        self._connection = Connection(ours.detach())
        try:
            self._await_ready(Start(address, self._folder, self.slots, memory_bytes, _GROW_S))
        except BaseException:
            self.close()
            raise

    def begin(self, job: Job) -> None:
        """Let the tasks that follow be of this job."""
        self._send("job", 0, pickle.dumps(job))

    def send(self, task: bytes) -> int:
        """Give a task to a worker, now or later, and return a ticket for it."""
        self._tickets += 1
        self._send("task", self._tickets, task)
        return self._tickets

    def wait(self, tickets: Collection[int]) -> Iterable[tuple[int, Answer]]:
        """Return the answers that are in, at least one of them.

        Raises:
            EngineError: the connection is lost, or a task lost one worker after the other.
        """
        answers: list[tuple[int, Answer]] = []
        while not answers or self._connection.poll(0):
            # In slices, so that a signal is noticed.
            if self._connection.poll(_LOOK_EVERY_S):
                number, answer = self._receive()
                if number in tickets:
                    answers.append((number, pickle.loads(answer)))  # noqa: S301  our own workers made it
        return answers

    def close(self) -> None:
        """Drop what is under way, and end the connection and what was started for it."""
        if not self._ready:
            self._process.send_signal(signal.SIGSTOP)
        started = _processes_below(self._process.pid)
        # It does the rest itself when this end of the socket is gone, as it does when this process is.
        self._connection.close()
        try:
            self._process.wait(_END_S if self._ready else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            self._errors.close()
            if self._folder is not None:
                end_processes(started)
                shutil.rmtree(self._folder, ignore_errors=True)

    def _await_ready(self, start: Start) -> None:
        self._send("start", 0, start)
        patience_s = _START_S if self._address is None else _CLIENT_S if "://" in self._address else _CONNECT_S
        until = time.monotonic() + patience_s
        while not self._connection.poll(_LOOK_EVERY_S):
            if time.monotonic() > until:
                raise EngineError(f"{self._name} does not answer as Ray does; look at its state and its version")
        self._receive()
        self._ready = True

    def _send(self, kind: str, number: int, value: object) -> None:
        try:
            self._connection.send((kind, number, value))
        except OSError as error:
            raise EngineError(f"{self._name}: {self._epitaph()}") from error

    def _receive(self) -> Any:
        try:
            kind, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise EngineError(f"{self._name}: {self._epitaph()}") from error
        if kind == "error":
            raise EngineError(f"{self._name}: {value}")
        return value

    @property
    def _name(self) -> str:
        return "Ray on this machine" if self._address is None else f"Ray at {self._address}"

    def _epitaph(self) -> str:
        """Return what is known of the death of the process that holds the connection."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 16384))
        # Ray writes much there, and not in order.
        lines = [line for line in self._errors.read().decode("utf-8", "replace").splitlines() if "Error: " in line]
        said = f" ({lines[-1].strip()[:200]})" if lines else ""
        return f"the connection was lost{said}; look whether the cluster still runs, and start the run again"


def _short_folder() -> str:
    """Return a new folder for Ray's files, in the system's temporary folder unless its name is too long for sockets."""
    place = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="ia-ray-", dir=place if len(place) <= _MOST_CHARACTERS - 16 else "/tmp")  # noqa: S108


def _environment(*, own: bool) -> dict[str, str]:
    """Return the environment of the process that connects; what a user set for other clusters is not for our own."""
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    if not own:
        return {**os.environ, **path}
    # Only with the last one everything listens at 127.0.0.1 alone; on other systems than Linux it is the default.
    ours = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    return {**{name: value for name, value in os.environ.items() if not name.startswith("RAY_")}, **path, **ours}


def _processes_below(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


_COMMAND = "import sys; from image_assets.engines.ray_driver import serve; serve(int(sys.argv[1]))"
