"""The sensor that tells a webhook: what fails is told once, to a real server, from a real instance."""

import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType, JobFailureData, RunFailureReason
from dagster._core.storage.tags import (
    AUTO_RETRY_RUN_ID_TAG,
    RETRY_NUMBER_TAG,
    ROOT_RUN_ID_TAG,
    RUN_FAILURE_REASON_TAG,
    WILL_RETRY_TAG,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.utils import make_new_run_id

from image_assets.defs.names import names_of
from image_assets.defs.notifications import Cursor, notification_sensors
from image_assets.pipeline import webhook
from image_assets_tests.defs.small_daemon import SMALL_SETTINGS, SmallDaemon
from image_assets_tests.images import make_settings_for, write_images
from image_assets_tests.webhook_server import SECRET, webhook_server

HOOK = {"webhook": {"env": "HOOK"}, "timeout_s": 0.3}


class Told:
    """The notification sensor of a small daemon's dataset, ticked by hand."""

    def __init__(self, daemon, server):
        self.daemon, self.server, self.cursor = daemon, server, None

    def tick(self):
        """Evaluate the sensor; return the texts that arrived in this tick, and what it said of itself."""
        sensor = self.daemon.defs.resolve_sensor_def(f"{self.daemon.settings.name}_notifications")
        before = len(self.server.bodies)
        with dg.build_sensor_context(
            self.daemon.instance, cursor=self.cursor, repository_def=self.daemon.defs.get_repository_def()
        ) as context:
            said = sensor.evaluate_tick(context)
        self.cursor = said.cursor
        assert SECRET not in f"{said}"
        return [body["text"] for body in self.server.bodies[before:]], said.skip_message


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An instance, a dataset and a server for all tests: each begins with a first tick, so nothing before it counts."""
    folder = tmp_path_factory.mktemp("told")
    write_images(folder / "raw", 12)
    with dg.DagsterInstance.ephemeral() as instance, webhook_server() as server:
        settings = make_settings_for(folder, **SMALL_SETTINGS, notifications=HOOK)
        yield SmallDaemon(instance, settings), server


@pytest.fixture
def told(world, monkeypatch):
    daemon, server = world
    monkeypatch.setattr(webhook, "_WAIT_S", 0.05)
    monkeypatch.setenv("HOOK", server.url)
    server.status = 200
    told = Told(daemon, server)
    told.tick()
    return told


@pytest.fixture
def instance(world):
    return world[0].instance


def fail(instance, *, job="tiny_update", assets=None, reason=RunFailureReason.STEP_FAILURE, **tags):
    """Have a run fail as Dagster notes it."""
    tags = {RUN_FAILURE_REASON_TAG: reason.value, **{name: value for name, value in tags.items() if "/" in name}}
    run = create_run_for_test(instance, job_name=job, tags=tags, asset_selection=assets)
    event = DagsterEvent(
        DagsterEventType.RUN_FAILURE.value, job, message="it broke", event_specific_data=JobFailureData(None, reason)
    )
    instance.report_dagster_event(event, run.run_id)
    return run


def judge(instance, passed, *, check="failed_fraction", partition=None, asset="image_shards", severity="ERROR"):
    """Have a check say something in a run of its own."""
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(["tiny", asset]), check_name=check, passed=passed, partition=partition,
        severity=dg.AssetCheckSeverity[severity], description=f"{partition} said so", metadata={},
    )  # fmt: skip
    kind = DagsterEventType.ASSET_CHECK_EVALUATION
    instance.report_dagster_event(DagsterEvent(kind.value, "", event_specific_data=evaluation), make_new_run_id())


def test_there_is_no_sensor_unless_a_webhook_is_named(tmp_path):
    settings = make_settings_for(tmp_path)
    assert notification_sensors(settings, names_of(settings)) == []


def test_a_run_that_fails_is_told_once_also_after_a_restart(told, instance):
    assert told.tick() == ([], "nothing new")
    fail(instance)
    texts, said = told.tick()
    assert len(texts) == 1
    assert "of tiny_update failed: it broke" in texts[0]
    assert said == "told: tiny: 1 run failed"
    told.daemon.load(told.daemon.settings)
    assert told.tick() == ([], "nothing new")


def test_runs_that_a_person_or_a_backfill_started_count_and_those_of_others_do_not(told, instance):
    fail(instance, job="__ASSET_JOB", assets={dg.AssetKey(["tiny", "training_index"])}, **{"dagster/backfill": "abc"})
    fail(instance, job="other_update")
    fail(instance, job="__ASSET_JOB", assets={dg.AssetKey(["other", "training_index"])})
    texts, _ = told.tick()
    assert len(texts) == 1
    assert texts[0].startswith("tiny: 1 run failed\n")
    assert "assets chosen by hand, backfill abc failed" in texts[0]


def test_a_killed_run_is_told_as_such(told, instance):
    fail(instance, reason=RunFailureReason.RUN_EXCEPTION)
    assert "(its process was killed, or could not start)" in told.tick()[0][0]


def test_a_run_of_a_job_of_their_own_counts_by_what_it_was_to_make(told, instance):
    shards = told.daemon.defs.resolve_assets_def(told.daemon.names.image_shards)
    job = dg.define_asset_job("mine", selection=[shards])
    defs = dg.Definitions(assets=[shards], jobs=[job], executor=dg.in_process_executor)
    source = Path(told.daemon.settings.source.path)
    source.rename(source.with_name("away"))
    mine = defs.resolve_job_def("mine")
    ran = mine.execute_in_process(instance=instance, partition_key="0-of-4", raise_on_error=False)
    source.with_name("away").rename(source)
    assert not ran.success
    texts, _ = told.tick()
    assert len(texts) == 1
    assert "of mine failed: source" in texts[0]


@pytest.mark.parametrize(
    ("ending", "said"),
    [("FAILURE", "failed after 3 tries"), ("SUCCESS", "failed and went well when Dagster tried it again")],
)
def test_a_run_that_dagster_tries_again_is_told_once_with_how_it_ended(told, instance, ending, said):
    first = fail(instance, **{WILL_RETRY_TAG: "true"})
    assert told.tick()[0] == []
    again = {ROOT_RUN_ID_TAG: first.run_id, RETRY_NUMBER_TAG: "1"}
    fail(instance, **again, **{WILL_RETRY_TAG: "true", AUTO_RETRY_RUN_ID_TAG: "x"})
    assert told.tick()[0] == []
    last = {ROOT_RUN_ID_TAG: first.run_id, RETRY_NUMBER_TAG: "2"}
    if ending == "FAILURE":
        fail(instance, **last, **{WILL_RETRY_TAG: "false"})
    else:
        create_run_for_test(instance, job_name="tiny_update", tags=last, status=dg.DagsterRunStatus.SUCCESS)
    texts, _ = told.tick()
    assert len(texts) == 1
    assert said in texts[0]
    assert told.tick()[0] == []


def test_a_run_that_dagster_was_to_try_again_and_did_not_is_told_after_a_while(told, instance):
    run = fail(instance, **{WILL_RETRY_TAG: "true"})
    told.tick()
    cursor = Cursor.from_text(told.cursor)
    cursor.runs.waiting[run.run_id] = time.time() - 601
    told.cursor = cursor.to_text()
    assert "has not ended that yet" in told.tick()[0][0]
    # And when it fails for good after all, it has been told.
    fail(instance, **{ROOT_RUN_ID_TAG: run.run_id, RETRY_NUMBER_TAG: "1", WILL_RETRY_TAG: "false"})
    assert told.tick()[0] == []


def test_a_check_is_told_when_it_turns_and_not_while_it_stays(told, instance):
    for shard in ("0-of-4", "2-of-4"):
        judge(instance, False, partition=shard)
    judge(instance, True, partition="1-of-4")
    texts, _ = told.tick()
    assert [line for text in texts for line in text.splitlines()] == [
        "tiny: 1 check fails",
        "- ERROR image_shards/failed_fraction fails in 0-of-4, 2-of-4: 0-of-4 said so",
    ]
    judge(instance, False, partition="0-of-4")
    assert told.tick() == ([], "nothing new")
    judge(instance, True, partition="2-of-4")
    texts, _ = told.tick()
    assert "image_shards/failed_fraction passes again in 2-of-4 (still fails in 1)" in texts[0]


def test_what_checks_say_while_a_run_is_under_way_is_one_message_at_its_end(told, instance):
    run = create_run_for_test(instance, job_name="tiny_update", status=dg.DagsterRunStatus.STARTED)
    judge(instance, False, partition="0-of-4", check="segments_readable")
    assert told.tick()[0] == []
    judge(instance, False, partition="1-of-4", check="segments_readable")
    assert told.tick()[0] == []
    # Of one that takes long something is told all the same.
    early = Told(told.daemon, told.server)
    early.cursor = replace(Cursor.from_text(told.cursor), held_at=time.time() - 601).to_text()
    assert len(early.tick()[0]) == 1
    instance.report_run_canceled(run)
    texts, _ = told.tick()
    assert "fails in 0-of-4, 1-of-4: " in texts[0]


def test_a_warning_that_becomes_an_error_is_told_and_the_other_way_not(told, instance):
    judge(instance, False, severity="WARN", asset="training_index", check="row_count")
    assert "WARN training_index/row_count fails: None said so" in told.tick()[0][0]
    judge(instance, False, asset="training_index", check="row_count")
    assert "ERROR training_index/row_count" in told.tick()[0][0]
    judge(instance, False, severity="WARN", asset="training_index", check="row_count")
    assert told.tick()[0] == []


def test_what_failed_before_the_first_tick_is_not_told_and_what_recovers_of_it_is(told, instance):
    told.cursor = None
    judge(instance, False, asset="training_index", check="unique_ids")
    fail(instance)
    assert told.tick()[0] == []
    judge(instance, True, asset="training_index", check="unique_ids")
    assert "training_index/unique_ids passes again" in told.tick()[0][0]


def test_after_the_database_was_deleted_what_fails_is_told_again(told, instance):
    told.tick()
    cursor = Cursor.from_text(told.cursor)
    told.cursor = replace(cursor, runs=replace(cursor.runs, last=cursor.runs.last + 10**6)).to_text()
    assert told.tick()[0] == []
    fail(instance)
    assert len(told.tick()[0]) == 1


def test_a_webhook_that_is_away_loses_nothing_and_is_asked_less_and_less(told, instance):
    told.server.status = 500
    for _ in range(3):
        fail(instance)
    _, said = told.tick()
    assert said.startswith("not told yet (tiny: 3 runs failed): the webhook in $HOOK answers 500; again in 30 s")
    asked = told.server.asked
    assert "before the webhook is asked again" in told.tick()[1]
    assert told.server.asked == asked
    told.server.status = 200
    told.cursor = replace(Cursor.from_text(told.cursor), next_at=0.0).to_text()
    assert told.tick()[0][0].startswith("tiny: 3 runs failed\n")


def test_a_variable_that_is_not_set_is_said_in_one_line_and_nothing_is_lost(told, instance, monkeypatch):
    monkeypatch.delenv("HOOK")
    assert "the environment variable HOOK is not set" in told.tick()[1]
    fail(instance)
    assert "the environment variable HOOK is not set" in told.tick()[1]
    monkeypatch.setenv("HOOK", told.server.url)
    assert len(told.tick()[0]) == 1


def test_where_many_shards_fail_is_kept_in_a_few_bytes(told, instance):
    for shard in told.daemon.names.partitions.get_partition_keys():
        judge(instance, False, partition=shard, check="complete", severity="WARN")
    texts, _ = told.tick()
    assert "fails in 0-of-4, 1-of-4, 2-of-4, 3-of-4: " in texts[0]
    # A bit a shard: of 4,096 these are 1 kB.
    assert '"image_shards/complete":"4:f:0"' in told.cursor


def test_with_the_files_that_dagster_dev_keeps_it_tells_the_same(world, told):
    with dg.instance_for_test() as instance:
        other = Told(SmallDaemon(instance, told.daemon.settings), told.server)
        assert other.tick()[0] == []
        fail(instance)
        judge(instance, False, partition="1-of-4")
        texts, _ = other.tick()
        assert [text.splitlines()[0] for text in texts] == ["tiny: 1 run failed, 1 check fails"]
        assert other.tick() == ([], "nothing new")
