"""Whether the process of a run lives: processes are real, the code server is one that ended."""

import os
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest
import yaml
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import BACKFILL_ID_TAG, GRPC_INFO_TAG, WILL_RETRY_TAG

from image_assets.defs.run_launcher import WatchedRunLauncher, process_lives
from image_assets_tests.end_to_end.dagster_dev import ROOT

# Nobody listens on it.
GONE = '{"host": "localhost", "port": 1}'
ELSEWHERE = '{"host": "code.example.invalid", "port": 1}'


@pytest.fixture
def watched() -> Iterator[dg.DagsterInstance]:
    """An instance whose runs are started as the repository's dagster.yaml says."""
    content = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    launcher = content["run_launcher"] | {"config": {"report_after_s": 0.0}}
    with dg.instance_for_test(overrides={"run_launcher": launcher, "run_retries": content["run_retries"]}) as instance:
        yield instance


def started_run(instance: dg.DagsterInstance, place: str, pid: int | None) -> dg.DagsterRun:
    """Return a run that is shown as started, by a code server at a place, in a process."""
    tags = {GRPC_INFO_TAG: place, BACKFILL_ID_TAG: "b"}
    run = instance.create_run_for_job(noop, tags=tags, status=dg.DagsterRunStatus.STARTED)
    if pid is not None:
        instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
    return run


@dg.job
def noop() -> None:
    """Do nothing."""


def dead_pid() -> int:
    """Return the id of a process that ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def health(instance: dg.DagsterInstance, place: str, pid: int | None) -> WorkerStatus:
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchedRunLauncher)
    return launcher.check_run_worker_health(started_run(instance, place, pid)).status


def test_a_run_lives_as_long_as_its_process_without_its_code_server(watched: dg.DagsterInstance) -> None:
    assert health(watched, GONE, os.getpid()) is WorkerStatus.RUNNING
    assert health(watched, GONE, dead_pid()) is WorkerStatus.FAILED
    # A backfill that looks now waits for the run that will take the place of the dead one.
    assert [run.tags[WILL_RETRY_TAG] for run in watched.get_runs() if WILL_RETRY_TAG in run.tags] == ["true"]
    # Where nothing can be told a run is left alone.
    assert health(watched, GONE, None) is WorkerStatus.RUNNING
    assert health(watched, ELSEWHERE, dead_pid()) is WorkerStatus.RUNNING


def test_another_process_that_got_the_number_of_a_dead_one_is_not_it() -> None:
    born_at = psutil.Process().create_time()
    assert process_lives(os.getpid(), named_at=born_at + 1)
    assert not process_lives(os.getpid(), named_at=born_at - 60)
