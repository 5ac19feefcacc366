"""A source that lies: nothing is asked for, the check says so until the source is right again or a person confirms."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from image_assets_tests.defs.small_daemon import SMALL_SETTINGS, SmallDaemon
from image_assets_tests.images import make_settings_for


def last_result(daemon: SmallDaemon) -> tuple[bool, str] | None:
    """Return whether the source's check passed last, and its sentence."""
    key = dg.AssetCheckKey(daemon.names.raw_listing, "lost_fraction")
    history = daemon.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    if not history or history[0].event is None or history[0].event.dagster_event is None:
        return None
    found = history[0].event.dagster_event.asset_check_evaluation_data
    return found.passed, str(found.description)


def results(daemon: SmallDaemon) -> int:
    key = dg.AssetCheckKey(daemon.names.raw_listing, "lost_fraction")
    return len(daemon.instance.event_log_storage.get_asset_check_execution_history(key, limit=50))


@pytest.fixture
def settled(daemon: SmallDaemon) -> SmallDaemon:
    daemon.settle()
    return daemon


def half_gone(raw: Path) -> None:
    for path in sorted(raw.rglob("*.jpg"))[:6]:
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (half_gone, "lacks 6 of the images; the dataset holds 12 (50%, allowed are 30%): nothing is deleted"),
        (
            lambda raw: [path.unlink() for path in raw.rglob("*.jpg")],
            "holds no image and the dataset holds 12: nothing",
        ),
        (shutil.rmtree, "does not exist"),
    ],
)
def test_a_source_that_lost_much_asks_for_nothing_and_fails_its_check(settled, raw, harm, says):
    before = results(settled)
    harm(raw)
    said = settled.tick()
    assert (said.requests, said.observed) == ([], [])
    assert says in str(said.skipped)
    passed, sentence = last_result(settled) or (True, "")
    assert not passed
    assert says in sentence
    settled.tick()
    assert results(settled) == before + 1  # the same result is not recorded again and again


def test_a_source_that_is_whole_again_passes_its_check(settled, raw, tmp_path):
    raw.rename(tmp_path / "unmounted")
    settled.tick()
    (tmp_path / "unmounted").rename(raw)
    assert settled.tick().requests == []
    assert (last_result(settled) or (False, ""))[0]


def test_a_person_confirms_in_the_launchpad(settled, raw):
    half_gone(raw)
    settled.tick()
    shards = settled.names.partitions.get_partition_keys()
    refused = settled.materialize(shards[0], shards[-1])
    assert not refused.success
    assert settled.materialize(shards[0], shards[-1], allow_deletes=True).success
    settled.settle()
    assert (last_result(settled) or (False, ""))[0]
    assert settled.index_events()[0].metadata["dagster/row_count"].value == 6


def test_the_check_can_be_run_by_hand(settled, raw):
    half_gone(raw)
    everything = settled.defs.resolve_implicit_global_asset_job_def()
    key = dg.AssetCheckKey(settled.names.raw_listing, "lost_fraction")
    job = everything.get_subset(asset_selection=set(), asset_check_selection={key})
    result = job.execute_in_process(instance=settled.instance, raise_on_error=False)
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert "lacks 6 of the images" in str(evaluation.description)


def test_another_number_of_shards_leaves_no_old_partition(settled, raw):
    settled.load(make_settings_for(raw.parent, **SMALL_SETTINGS, num_shards=6))
    runs = settled.settle()
    assert [run.success for run in runs] == [True]
    shards = settled.names.partitions.get_partition_keys()
    assert [str(shard).endswith("-of-6") for shard in shards] == [True] * 6
    counts = [settled.shard_events(shard)[0].metadata for shard in shards]
    assert sum(int(event["kept"].value or 0) for event in counts) == 12
    assert sum(int(event["decoded"].value or 0) for event in counts) == 0
    assert settled.tick().skipped == "nothing changed"
