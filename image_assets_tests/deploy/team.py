"""A team's deployment without containers: commands, environment and files of `data/deploy`, on 127.0.0.1."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from image_assets_tests.deploy.postgres import Postgres
from image_assets_tests.end_to_end import queries
from image_assets_tests.end_to_end.dagster_dev import ROOT, DagsterDev
from image_assets_tests.servers import Server, free_port

DEPLOY = ROOT / "data/deploy"
CODE, WEBSERVER, DAEMON = "code", "webserver", "daemon"
# Of this machine, but none of the names by which a run is known to be on the machine of who asks.
CODE_HOST = "127.0.0.2"
# Of the web server to the database, one for each of its storages: each answers once that it was closed.
_KEPT_CONNECTIONS = 5


class Team(DagsterDev):
    """Code server, webserver and daemon as three process groups; one that ends is started again, as Compose does."""

    def __init__(self, folder: Path, postgres: Postgres, s3: Server, **settings: Any) -> None:
        """Make a project whose compute logs go into a bucket of their own."""
        super().__init__(folder, "team", **settings)
        shutil.copy(DEPLOY / "dagster.postgres.yaml", folder / "dagster.yaml")
        shutil.copy(DEPLOY / "workspace.grpc.yaml", folder / "workspace.yaml")
        self.log_bucket = s3.new_bucket()
        self.restarts: list[str] = []
        self._services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
        self._code_port = free_port()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {
            **postgres.environment(),
            **s3.environment,
            "AWS_ENDPOINT_URL_S3": s3.endpoint,
            "DAGSTER_HOME": str(folder),
            "DAGSTER_LOG_BUCKET": self.log_bucket,
            "IMAGE_ASSETS_DATASETS": str(folder / "data/datasets"),
            "IMAGE_ASSETS_CODE_HOST": CODE_HOST,
            "IMAGE_ASSETS_CODE_PORT": str(self._code_port),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def __enter__(self) -> "Team":
        try:
            self.start(CODE)
            self.wait_until(self.code_server_answers, "the code server answers", timeout_s=120)
            self.start(WEBSERVER)
            self.wait_until(self.answers, "the web server answers", timeout_s=120)
        except BaseException:
            self._stop()
            raise
        return self

    def start(self, service: str) -> None:
        """Start a service as Compose would."""
        self._running[service] = self.spawn(self.command(service), self.folder / f"{service}.log", self._environment)

    def stop(self, service: str) -> None:
        """Stop a service as Compose does, and let it take its time."""
        process = self._running.pop(service)
        process.send_signal(signal.SIGTERM)
        process.wait(120)

    def kill(self, service: str) -> None:
        """Let a service end as its container does when it is killed: all its processes at once."""
        process = self._running.pop(service)
        for child in [child for child in self.processes() if os.getsid(child.pid) == process.pid]:
            child.kill()
        process.wait()

    def command(self, service: str) -> list[str]:
        """Return the command of compose.yaml, for this machine and free ports."""
        host = CODE_HOST if service == CODE else "127.0.0.1"
        ports = {"4000": self._code_port, "3000": self._port, "0.0.0.0": host}
        return [_with(word, ports) for word in self._services[service]["command"]]

    def answers(self) -> bool:
        """Return whether the web server does, and knows the code location."""
        return self._answers()

    def code_server_answers(self) -> bool:
        """Ask by the health check of compose.yaml."""
        check = [_with(word, {"4000": self._code_port}) for word in self._services[CODE]["healthcheck"]["test"][1:]]
        environment = {**os.environ, **self._environment}
        asked = subprocess.run([*check, "-h", CODE_HOST], capture_output=True, check=False, env=environment)
        return asked.returncode == 0

    def wait_until(self, condition: Callable[[], object], what: str, timeout_s: float = 120) -> None:
        """Return as soon as a condition holds; meanwhile start again what ended."""

        def and_all_run() -> object:
            for service, process in list(self._running.items()):
                if process.poll() is not None:
                    self.restarts.append(service)
                    self.start(service)
            self._process = self._running.get(WEBSERVER, self._running[CODE])
            return condition()

        super().wait_until(and_all_run, what, timeout_s)

    def query(self, graphql: str, **variables: Any) -> dict[str, Any]:
        """Return the answer to a query or mutation; asked again, as people reload, after a restart of the database."""
        for _ in range(_KEPT_CONNECTIONS):
            try:
                return super().query(graphql, **variables)
            except urllib.error.HTTPError as error:
                if error.code != 500:
                    raise
        return super().query(graphql, **variables)

    def set_sensor(self, *, on: bool) -> None:
        """Switch the dataset's sensor as the UI does."""
        selector = {**self._repository(), "sensorName": f"{self.name}_source_sensor"}
        if on:
            done = self.query(queries.START_SENSOR, selector=selector)["startSensor"]
        else:
            found = self.query(queries.SENSOR, selector=selector)["sensorOrError"]
            done = self.query(queries.STOP_SENSOR, id=found["id"])["stopSensor"]
        assert "Error" not in done["__typename"], done

    def backfill_status(self, backfill: str) -> str:
        """Return the status that the UI shows for a backfill."""
        return str(self.query(queries.BACKFILL_STATUS, id=backfill)["partitionBackfillOrError"]["status"])

    def printed(self, run_id: str) -> str:
        """Return what a run printed, as the UI shows it."""
        events = self.query(queries.LOG_FILES, run=run_id)["logsForRun"]["events"]
        keys = [[run_id, "compute_logs", event["fileKey"]] for event in events if "fileKey" in event]
        found = [self.query(queries.CAPTURED, key=key)["capturedLogs"] for key in keys]
        return "".join((part["stdout"] or "") + (part["stderr"] or "") for part in found)

    def log(self) -> str:
        """Return what all services printed."""
        return "".join(f"== {path.name}\n{path.read_text(errors='replace')[-6_000:]}" for path in self._logs())

    def _logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))

    def _stop(self) -> None:
        """Stop the services in the order of the documentation, as `docker compose stop` does."""
        for service in (WEBSERVER, DAEMON, CODE):
            if service in self._running:
                try:
                    self.stop(service)
                except subprocess.TimeoutExpired:
                    self.left_over.append(service)
        for process in self.processes():
            self.left_over.append(shlex.join(process.cmdline()))
            process.kill()


def _with(word: str, replacements: Mapping[str, object]) -> str:
    for old, new in replacements.items():
        word = word.replace(old, str(new))
    return word
