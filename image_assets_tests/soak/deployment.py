"""Webserver, daemon and code server as three processes, each started again at once whenever it ends."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import psutil
import yaml

from image_assets_tests.end_to_end.dagster_dev import ROOT, DagsterDev, _free_port
from image_assets_tests.soak.watcher import MARK, command_of, is_alive, kill_marked, marked_processes

SERVERS = ("webserver", "daemon", "code server")
_ANSWER_TIMEOUT_S = 120.0
_LOOK_EVERY_S = 0.1


@dataclass(slots=True)
class Server:
    """One of the three: its command, its process and how often it was started."""

    command: list[str]
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    killed: bool = False
    starts: int = 0
    lives: list[float] = field(default_factory=list)


class Deployment(DagsterDev):
    """A project whose servers run while the ``with`` block does, as three services of a machine would."""

    def __init__(self, folder: Path, name: str, postgres: str | None, **settings: Any) -> None:
        super().__init__(folder, name, **settings)
        self.ended_by_themselves: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._ending = threading.Event()
        (folder / "tmp").mkdir()
        code_port = _free_port()
        grpc = {"host": "127.0.0.1", "port": code_port, "location_name": "image_assets"}
        (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": grpc}]}))
        if postgres is not None:
            _use_postgres(folder / "dagster.yaml", postgres)
        python, workspace = [sys.executable, "-m"], ["-w", "workspace.yaml"]
        code = ["-m", "image_assets.definitions", "-d", ".", "--host", "127.0.0.1", "--port", str(code_port)]
        commands = {
            "webserver": [*python, "dagster_webserver", "-h", "127.0.0.1", "-p", str(self._port), *workspace],
            "daemon": [*python, "dagster._daemon", "run", *workspace],
            "code server": [*python, "dagster", "api", "grpc", *code, "--location-name", "image_assets"],
        }
        self.servers = {
            name: Server(command, (folder / f"{name.replace(' ', '-')}.log").open("ab"))
            for name, command in commands.items()
        }

    def __enter__(self) -> "Deployment":
        watcher = [sys.executable, "-m", "image_assets_tests.soak.watcher", str(self.folder)]
        self._watcher = subprocess.Popen(watcher, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True)
        try:
            for name in ("code server", "webserver"):
                self.start(name)
            self.wait_until(self._answers, "the webserver answers", timeout_s=180)
        except BaseException:
            self._stop()
            raise
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def start(self, name: str) -> None:
        """Start one of the servers."""
        server = self.servers[name]
        with self._lock:
            server.process = subprocess.Popen(
                server.command, cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=server.log, stderr=server.log, start_new_session=True,
            )  # fmt: skip
            server.killed = False
            server.starts += 1
            server.lives.append(time.monotonic())

    def environment(self) -> dict[str, str]:
        """Return the environment of the servers; what they start has it too."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
        mine = {"PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(self.folder), "TMPDIR": str(self.folder / "tmp")}
        # A backfill waits for a code server that is away, where Dagster would otherwise take its assets for removed.
        return kept | mine | {MARK: str(self.folder), "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1"}

    def kill(self, name: str) -> int | None:
        """Kill one of the servers with SIGKILL; return its process id, None when it was not there."""
        with self._lock:
            server = self.servers[name]
            if server.process is None or server.process.poll() is not None:
                return None
            server.killed = True
            server.process.kill()
            return server.process.pid

    def run_processes(self) -> list[psutil.Process]:
        """Return the processes that execute runs: what the code server spawns, and what is orphaned of it."""
        return [found for found in self.processes() if any("spawn_main" in word for word in command_of(found))]

    def engine_processes(self) -> list[psutil.Process]:
        """Return the processes that decode."""
        return [found for found in self.processes() if any("engines.worker" in word for word in command_of(found))]

    def processes(self) -> list[psutil.Process]:
        return marked_processes(str(self.folder))

    def query(self, graphql: str, **variables: Any) -> dict[str, Any]:
        """Return the answer to a query or mutation; asked again while the webserver is on its way up."""
        deadline = time.monotonic() + _ANSWER_TIMEOUT_S
        while True:
            try:
                return super().query(graphql, **variables)
            except (urllib.error.URLError, ConnectionError, TimeoutError, AssertionError):
                if time.monotonic() > deadline or not hasattr(self, "_supervisor"):
                    raise
                time.sleep(0.5)

    def wait_until(self, condition: Callable[[], object], what: str, timeout_s: float = 90) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s:g} s: {what}")
            time.sleep(0.5)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of image-assets on the dataset, as a person beside the servers does."""
        config = self.folder / "data/datasets" / f"{self.name}.yaml"
        command = [sys.executable, "-m", "image_assets", words[0], "--config", str(config), *words[1:]]
        environment = self.environment()
        del environment[MARK]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=900, check=False
        )

    def _supervise(self) -> None:
        while not self._ending.wait(_LOOK_EVERY_S):
            for name, server in self.servers.items():
                with self._lock:
                    if self._ending.is_set() or server.process is None or server.process.poll() is None:
                        continue
                    if not server.killed:
                        self.ended_by_themselves[name] += 1
                        time.sleep(1)
                    self.start(name)

    def _stop(self) -> None:
        """Stop the servers in the way a service manager does; note and kill what is still there long after."""
        self._ending.set()
        if hasattr(self, "_supervisor"):
            self._supervisor.join()
        running = [server.process for server in self.servers.values() if server.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + 30
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in running:
                process.poll()
            time.sleep(0.1)
        self.left_over = [f"{found.pid}: {' '.join(command_of(found))}" for found in left if is_alive(found)]
        kill_marked(str(self.folder))
        self._watcher.communicate()
        for server in self.servers.values():
            server.log.close()


def make_folder(kept: Path | None) -> Path:
    """Return an empty folder for a project: a temporary one, or the one that was asked for."""
    if kept is None:
        return Path(tempfile.mkdtemp(prefix="image-assets-soak-"))
    if kept.exists() and any(kept.iterdir()):
        raise SystemExit(f"--folder {kept} is not empty; name a new one")
    kept.mkdir(parents=True, exist_ok=True)
    return kept.absolute()


def remove_folder(folder: Path) -> None:
    """Remove a project."""
    shutil.rmtree(folder, ignore_errors=True)


def _use_postgres(path: Path, url: str) -> None:
    content = yaml.safe_load(path.read_text())
    content["storage"] = {"postgres": {"postgres_url": url}}
    path.write_text(yaml.safe_dump(content))
