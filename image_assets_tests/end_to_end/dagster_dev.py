"""A real `dagster dev` in a project folder of its own, started and asked the way a person's browser does it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import yaml

from image_assets.settings import Settings, load_settings
from image_assets_tests.end_to_end import queries

ROOT = Path(__file__).parents[2]
# In the environment of everything that is started, so that what is left over can be found.
_MARK = "IMAGE_ASSETS_TEST_PROJECT"
_RANGE_START, _RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Dagster shows it."""

    id: str
    status: str
    job: str
    tags: dict[str, str]

    @property
    def ended(self) -> bool:
        return self.status in _ENDED


@dataclass(frozen=True, slots=True)
class Event:
    """A materialization: the run that made it, its metadata and its tags."""

    run_id: str
    metadata: dict[str, Any]
    tags: dict[str, str]


class DagsterDev:
    """Runs while the ``with`` block does; at the end Ctrl-C stops it, and ``left_over`` are the processes that stay."""

    def __init__(self, folder: Path, name: str, **settings: Any) -> None:
        """Make a project in an empty folder: the repository's Dagster files and one dataset over ``data/raw``."""
        self.folder = folder
        self.name = name
        for file in ("workspace.yaml", "dagster.yaml"):
            shutil.copy(ROOT / file, folder)
        path = folder / "data/datasets" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        (folder / "data/raw").mkdir()
        content = {"name": name, "source": {"path": "../raw"}, "store": f"../store/{name}", **settings}
        path.write_text(yaml.safe_dump(content))
        self.settings: Settings = load_settings(path)
        self.left_over: list[str] = []
        self._log = folder / "dagster-dev.log"
        self._port = _free_port()

    def __enter__(self) -> "DagsterDev":
        command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(self._port)]
        self._process = self.spawn(command, self._log, {})
        try:
            self.wait_until(self._answers, "the web server answers", timeout_s=120)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._print_what_happened()
        self._stop()

    def spawn(self, command: Sequence[str], said: Path, more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a program of the project in a process group of its own; :meth:`processes` finds it and its children."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
        environment |= {"PYTHONPATH": str(ROOT), _MARK: str(self.folder), **more}
        with said.open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
                preexec_fn=_heed_interrupts,  # noqa: PLW1509  no thread of a test holds a lock that it needs
            )  # fmt: skip

    def wait_until(self, condition: Callable[[], object], what: str, timeout_s: float = 90) -> None:
        """Return as soon as a condition holds.

        Raises:
            TimeoutError: it did not within the time.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self._process.poll() is not None:
                raise RuntimeError(f"dagster dev ended with exit code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s:g} s: {what}")
            time.sleep(0.1)

    @property
    def url(self) -> str:
        """Where the UI answers."""
        return f"http://127.0.0.1:{self._port}"

    def query(self, graphql: str, **variables: Any) -> dict[str, Any]:
        """Return the data that a GraphQL query or mutation answers with."""
        body = json.dumps({"query": graphql, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def runs(self) -> list[Run]:
        """Return all runs, the newest first."""
        found = self.query(queries.RUNS)["runsOrError"]["results"]
        return [Run(run["runId"], run["status"], run["jobName"], _pairs(run["tags"])) for run in found]

    def events(self, asset: str, partition: str | None = None) -> list[Event]:
        """Return the materializations of an asset or of one of its partitions, the newest first."""
        node = self._node(queries.EVENTS, asset, partitions=[partition] if partition else None)
        return [
            Event(found["runId"], _metadata(found["metadataEntries"]), _pairs(found["tags"]))
            for found in node["assetMaterializations"]
        ]

    def check_partitions(self, asset: str, check: str) -> dict[str, list[str]]:
        """Return which partitions the UI shows in which state (succeeded, failed ...) for a check."""
        checks = self._node(queries.CHECKS, asset)["assetChecksOrError"]["checks"]
        states = next(found for found in checks if found["name"] == check)["partitionStatuses"]
        return {name.removesuffix("Partitions"): sorted(values) for name, values in states.items() if values}

    def check_states(self, asset: str) -> dict[str, str | None]:
        """Return the state that the UI shows for each check of an asset without partitions."""
        checks = self._node(queries.CHECKS, asset)["assetChecksOrError"]["checks"]
        return {found["name"]: (found["executionForLatestMaterialization"] or {}).get("status") for found in checks}

    def check_result(self, asset: str, check: str, partition: str) -> dict[str, Any]:
        """Return the last result of a check for a partition: success, severity and its numbers."""
        key = {"path": [self.name, asset]}
        executions = self.query(queries.CHECK_RESULTS, key=key, check=check, partition=partition)
        found = executions["assetCheckExecutions"][0]["evaluation"]
        return {
            "success": found["success"],
            "severity": found["severity"],
            **_metadata(found["metadataEntries"]),
        }

    def stale_partitions(self, asset: str) -> list[str]:
        """Return the partitions that the UI shows as stale."""
        node = self._node(queries.STALE, asset)
        pairs = zip(node["partitionKeys"], node["staleStatusByPartition"], strict=True)
        return [partition for partition, status in pairs if status != "FRESH"]

    def last_tick(self) -> dict[str, Any]:
        """Return the sensor's last finished tick: its status and why it asked for nothing."""
        selector = {**self._repository(), "sensorName": f"{self.name}_source_sensor"}
        ticks = self.query(queries.TICKS, selector=selector)["sensorOrError"]["sensorState"]["ticks"]
        return next((tick for tick in ticks if tick["status"] != "STARTED"), {"status": "NONE", "skipReason": None})

    def materialize(self, asset: str, first: str, last: str) -> str:
        """Ask for a range of partitions as the UI's button does; return the run's id."""
        key = {"path": [self.name, asset]}
        tags = [{"key": _RANGE_START, "value": first}, {"key": _RANGE_END, "value": last}]
        parameters = {
            "selector": {**self._repository(), "pipelineName": "__ASSET_JOB", "assetSelection": [key]},
            "mode": "default",
            "executionMetadata": {"tags": tags},
        }
        launched = self.query(queries.LAUNCH, parameters=parameters)["launchPipelineExecution"]
        return str(launched["run"]["runId"])

    def launch_backfill(self, assets: Sequence[str], partitions: Sequence[str]) -> str:
        """Ask for a backfill of chosen partitions as the UI's dialog does; return its id."""
        keys = [{"path": [self.name, asset]} for asset in assets]
        parameters = {"assetSelection": keys, "partitionNames": list(partitions)}
        launched = self.query(queries.BACKFILL, parameters=parameters)["launchPartitionBackfill"]
        return str(launched["backfillId"])

    def processes(self) -> list[psutil.Process]:
        """Return every process that this `dagster dev` started, itself included, wherever it hangs in the tree."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def log(self) -> str:
        """Return what it printed."""
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            return bool(self.query(queries.LOADED, **self._repository())["repositoryOrError"].get("name"))
        except (urllib.error.URLError, ConnectionError):
            return False

    def _node(self, graphql: str, asset: str, **variables: Any) -> dict[str, Any]:
        node: dict[str, Any] = self.query(graphql, key={"path": [self.name, asset]}, **variables)["assetNodeOrError"]
        return node

    def _repository(self) -> dict[str, str]:
        return {"repositoryName": "__repository__", "repositoryLocationName": "image_assets"}

    def _stop(self) -> None:
        """Press Ctrl-C; note and kill what is still there long after."""
        self._process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 30
        while (left := self.processes()) and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.1)
        self.left_over = [f"{process.pid}: {' '.join(_command(process))}" for process in left]
        for process in left:
            process.kill()
        self._process.wait()

    def _print_what_happened(self) -> None:
        print(self.log()[-8_000:])
        pipeline_log = Path(self.settings.store) / "logs/pipeline.log"
        if pipeline_log.exists():
            print(pipeline_log.read_text()[-4_000:])
        for path in (self.folder / "data/dagster").rglob("*.err"):
            text = path.read_text()
            if " - ERROR - " in text:
                print(f"== {path}\n{text[text.index(' - ERROR - ') :][:2_000]}")


def _heed_interrupts() -> None:
    # What a shell starts in the background ignores Ctrl-C, and its children do.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return ["(ended)"]


def _pairs(tags: Sequence[dict[str, str]]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in tags}


def _metadata(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {entry["label"]: next((entry[name] for name in queries.VALUES if name in entry), None) for entry in entries}
