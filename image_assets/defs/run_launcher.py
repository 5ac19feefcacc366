"""How runs are started by Dagster's default launcher, and whether their processes still live.

A run is a child of the code server, which alone notices that it died. Where both are killed (the machine restarts, or
has no memory left), or the run outlives its code server and is killed later, the run would be shown as started
for ever, keep the slot of its pool, and make its dataset's sensor wait. Dagster's run monitoring asks a launcher that
can tell.
"""

import json
import socket
import time
from collections.abc import Mapping
from typing import Any, Self

import psutil
from dagster import Field
from dagster._config.config_schema import UserConfigSchema
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import DagsterEventType
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.tags import BACKFILL_ID_TAG, GRPC_INFO_TAG, WILL_RETRY_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value
from dagster._serdes.config_class import ConfigurableClassData

_ANSWER_TIMEOUT_S = 10
_HERE = ("localhost", "127.0.0.1", "::1")
# The event that names a process is written by it, so a process born later has only its number.
_CLOCK_S = 1.0


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, which also tells whether the process of a run still lives.

    A run that died with its code server is missed for ``report_after_s`` before it is reported: Dagster tries only once
    to start a failed run again, which is in vain while the code server is not back.
    """

    def __init__(self, report_after_s: float = 60.0, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._report_after_s = report_after_s
        self._missed_since: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Return what may be said in ``dagster.yaml``."""
        return {"report_after_s": Field(float, is_required=False, default_value=60.0)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Return the launcher that ``dagster.yaml`` describes."""
        return cls(config_value["report_after_s"], inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether :meth:`check_run_worker_health` answers: yes."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether the process of a started run lives; where that cannot be told, that it does."""
        place = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
        answer = _is_child(run.run_id, place) if place else None
        if answer:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if place.get("host") in (*_HERE, socket.gethostname()):
            # It may live on without the code server that started it.
            pid, named_at = self._process_of(run.run_id)
            if pid is None or process_lives(pid, named_at):
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            return self._missed(run, f"its process {pid} is gone")
        if answer is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its code server does not answer")
        return self._missed(run, "its code server was started again and does not know it")

    def _missed(self, run: DagsterRun, why: str) -> CheckRunHealthResult:
        now = time.monotonic()
        if now - self._missed_since.setdefault(run.run_id, now) < self._report_after_s:
            return CheckRunHealthResult(WorkerStatus.RUNNING, why)
        if BACKFILL_ID_TAG in run.tags and self._instance.run_retries_enabled:
            # Dagster notes a moment after the failure that the run will be started again, and a backfill that looks in
            # between ends as failed. So it is noted before, and with the failure Dagster says anew whether it is so.
            self._instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "true"})
        return CheckRunHealthResult(WorkerStatus.FAILED, why)

    def _process_of(self, run_id: str) -> tuple[int | None, float]:
        """Return the process id of a run, None before it has one, and when it was told."""
        for event in self._instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
            data = event.dagster_event.engine_event_data if event.dagster_event is not None else None
            if data is not None and (pid := data.metadata.get("pid")) is not None:
                return int(str(pid.value)), event.timestamp
        return None, 0.0


def process_lives(pid: int, named_at: float) -> bool:
    """Return whether a process that named itself at a time (seconds since 1970) is still there."""
    try:
        process = psutil.Process(pid)
        return process.create_time() <= named_at + _CLOCK_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_child(run_id: str, place: dict[str, Any]) -> bool | None:
    """Return whether a code server has a run among its children, None when it does not answer."""
    client = DagsterGrpcClient(**place)
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=_ANSWER_TIMEOUT_S)
    except DagsterUserCodeUnreachableError:
        return None
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
