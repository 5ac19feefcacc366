"""The sensor: what it asks for, what it leaves alone, when it gives up."""

import shutil
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from image_assets.core.sharding import shard_names
from image_assets.defs import sensor
from image_assets.defs.instance_events import unreported_partitions
from image_assets.pipeline.detect import detect
from image_assets.pipeline.run import run_dataset
from image_assets.storage.manifests import latest_commit
from image_assets.storage.store import Store
from image_assets_tests.defs.keys import keys_in, make_rotten
from image_assets_tests.defs.small_daemon import SMALL_SETTINGS, SmallDaemon, numbers, shard_range
from image_assets_tests.images import make_settings_for, write_image, write_images

SHARDS = shard_names(4)
WHOLE = (SHARDS[0], SHARDS[3])
NO_SHARDS = (None, None)


def asked_ranges(daemon: SmallDaemon) -> list[tuple[str | None, str | None]]:
    """Tick and run until nothing is asked for; return the ranges that were asked for."""
    ranges = []
    while requests := daemon.tick().requests:
        ranges += [shard_range(request) for request in requests]
        for request in requests:
            daemon.run(request)
        assert len(ranges) < 12
    return ranges


def stale_shards(daemon: SmallDaemon) -> list[str]:
    """Return the shards that the UI marks as stale."""
    graph = daemon.defs.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(daemon.instance, graph, LoadingContextForTest(daemon.instance))
    return [shard for shard in SHARDS if resolver.get_status(daemon.names.image_shards, shard) is StaleStatus.STALE]


def test_the_first_tick_observes_and_asks_for_every_shard(daemon: SmallDaemon) -> None:
    said = daemon.tick()
    assert [shard_range(request) for request in said.requests] == [WHOLE]
    assert said.observed == SHARDS


def test_a_quiet_tick_asks_for_nothing_and_records_nothing(daemon: SmallDaemon) -> None:
    daemon.settle()
    said = daemon.tick()
    assert (said.skipped, said.requests, said.observed) == ("nothing changed", [], [])


@pytest.mark.parametrize(
    ("touched", "asked"),
    [
        ([2], (SHARDS[2], SHARDS[2])),
        ([0, 2], (SHARDS[0], SHARDS[2])),  # one run over both and what lies between
    ],
)
def test_a_new_image_touches_its_shard_only(
    daemon: SmallDaemon, raw: Path, touched: list[int], asked: tuple[str, str]
) -> None:
    daemon.settle()
    for number in touched:
        write_image(raw, keys_in(SHARDS[number], 1)[0], 99 + number)
    said = daemon.tick()
    assert said.observed == [SHARDS[number] for number in touched]
    assert [shard_range(request) for request in said.requests] == [asked]
    assert daemon.run(said.requests[0]).success
    news = [numbers(daemon.shard_events(shard)[0], "new")["new"] for shard in SHARDS[touched[0] : touched[-1] + 1]]
    assert news == ([1] if len(touched) == 1 else [1, 0, 1])


def test_many_shards_are_asked_for_in_several_runs_and_assembled_in_the_last(
    daemon: SmallDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensor, "_MOST_SHARDS", 3)
    assert asked_ranges(daemon) == [(SHARDS[0], SHARDS[2]), (SHARDS[3], SHARDS[3])]
    assert [numbers(event, "shards")["shards"] for event in daemon.index_events()] == [4]


def test_a_change_makes_its_shard_stale_until_it_is_run(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    assert stale_shards(daemon) == []
    write_image(raw, keys_in(SHARDS[2], 1)[0], 99)
    said = daemon.tick()
    assert stale_shards(daemon) == [SHARDS[2]]
    daemon.run(said.requests[0])
    assert stale_shards(daemon) == []


def test_what_a_run_by_hand_found_before_the_sensor_is_not_stale_after_it(daemon: SmallDaemon, raw: Path) -> None:
    daemon.materialize(SHARDS[0], SHARDS[3])
    assert daemon.tick().observed == []
    write_image(raw, keys_in(SHARDS[1], 1)[0], 100)
    daemon.materialize(SHARDS[0], SHARDS[3])
    daemon.tick()
    assert stale_shards(daemon) == []
    write_image(raw, keys_in(SHARDS[1], 1)[0], 101)
    daemon.tick()
    assert stale_shards(daemon) == [SHARDS[1]]


def test_a_failing_shard_is_asked_for_until_the_last_attempt(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    make_rotten(raw, SHARDS[1])
    # At last the index, which the failed runs did not come to, so that the UI does not show it as failed.
    assert asked_ranges(daemon) == [*[(SHARDS[1], SHARDS[1])] * 3, NO_SHARDS]
    assert str(daemon.tick().skipped).startswith(f"gave up on {SHARDS[1]} after the last attempt")


def test_a_failing_shard_is_not_asked_for_before_its_wait_is_over(instance: dg.DagsterInstance, raw: Path) -> None:
    trigger = {"interval_s": 1, "max_attempts": 3, "backoff_s": 3600}
    daemon = SmallDaemon(instance, make_settings_for(raw.parent, **{**SMALL_SETTINGS, "trigger": trigger}))
    make_rotten(raw, SHARDS[1])
    # The second run assembles what the first one committed.
    assert asked_ranges(daemon) == [WHOLE, NO_SHARDS]
    assert daemon.tick().skipped == f"waiting before asking again for {SHARDS[1]}"


def test_the_index_follows_the_good_shards_while_one_is_refused(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    make_rotten(raw, SHARDS[1])
    write_image(raw, keys_in(SHARDS[2], 1)[0], 99)
    ranges = asked_ranges(daemon)
    assert ranges.count(NO_SHARDS) == 1
    assert numbers(daemon.index_events()[0], "dagster/row_count") == {"dagster/row_count": 13}


def test_a_new_upload_after_giving_up_starts_again(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    rotten = make_rotten(raw, SHARDS[1])
    asked_ranges(daemon)
    rotten[0].write_bytes(b"still no image")
    # At last the index, which the failed runs did not come to, so that the UI does not show it as failed.
    assert asked_ranges(daemon) == [*[(SHARDS[1], SHARDS[1])] * 3, NO_SHARDS]
    for number, path in enumerate(rotten):
        path.unlink()
        write_image(raw, path.relative_to(raw).as_posix(), 100 + number)
    assert asked_ranges(daemon) == [(SHARDS[1], SHARDS[1])]
    assert numbers(daemon.index_events()[0], "dagster/row_count") == {"dagster/row_count": 12 + len(rotten)}


def test_a_state_that_returns_is_asked_for_again(instance: dg.DagsterInstance, raw: Path) -> None:
    settings = make_settings_for(raw.parent, **SMALL_SETTINGS, labels={"kind": "file", "path": "labels.csv"})
    daemon = SmallDaemon(instance, settings)
    versions = []
    for label in ("red", "blue", "red", "blue"):
        (raw.parent / "labels.csv").write_text(f"filename,label\na/0.jpg,{label}\n")
        assert len(asked_ranges(daemon)) == 1
        versions.append([head.data_version for head in detect(daemon.settings).heads.values()])
    assert versions[0] == versions[2] != versions[1] == versions[3]


def test_a_run_that_was_lost_is_asked_for_again(daemon: SmallDaemon) -> None:
    daemon.tick()
    again = daemon.tick().requests[0]
    assert shard_range(again) == WHOLE
    daemon.run(again)
    assert daemon.tick().skipped == "nothing changed"


def test_shards_and_index_that_a_failed_run_did_not_report_are_told_again(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    elsewhere = raw.rename(raw.with_name("elsewhere"))
    assert not daemon.materialize(SHARDS[1], SHARDS[2]).success
    elsewhere.rename(raw)
    assert unreported_partitions(daemon.instance, daemon.names.image_shards) == {SHARDS[1], SHARDS[2]}
    assert asked_ranges(daemon) == [(SHARDS[1], SHARDS[2])]
    assert unreported_partitions(daemon.instance, daemon.names.image_shards) == set()
    assert latest_commit(Store(daemon.settings.store), SHARDS[1]) == 1
    failed = daemon.instance.create_run_for_job(daemon.defs.resolve_job_def(daemon.names.assemble_job))
    daemon.instance.report_run_failed(failed)
    assert asked_ranges(daemon) == [NO_SHARDS]


def test_a_killed_run_is_asked_for_more_often_than_one_that_fails(daemon: SmallDaemon) -> None:
    job = daemon.defs.resolve_job_def(daemon.names.update_job)
    for _ in range(daemon.settings.trigger.max_attempts + 1):
        (request,) = daemon.tick().requests
        killed = daemon.instance.create_run_for_job(job, tags=dict(request.tags))
        daemon.instance.report_run_failed(killed)
    assert [shard_range(request) for request in daemon.tick().requests] == [WHOLE]


def test_a_lost_cursor_does_not_lose_a_change(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    daemon.cursor = None
    assert daemon.tick().skipped == "nothing changed"
    write_image(raw, keys_in(SHARDS[2], 1)[0], 99)
    daemon.cursor = None
    assert asked_ranges(daemon) == [(SHARDS[2], SHARDS[2])]


def test_a_lost_store_is_made_anew(daemon: SmallDaemon) -> None:
    daemon.settle()
    shutil.rmtree(daemon.settings.store)
    assert asked_ranges(daemon) == [WHOLE]
    assert daemon.tick().skipped == "nothing changed"
    assert len(detect(daemon.settings).heads) == len(SHARDS)


def test_a_missing_source_is_named(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    shutil.move(raw, raw.with_name("elsewhere"))
    said = daemon.tick()
    assert not said.requests
    assert str(said.skipped) == f"source folder {raw} does not exist; create it or correct the path"
    shutil.move(raw.with_name("elsewhere"), raw)
    assert daemon.tick().skipped == "nothing changed"


def test_an_emptied_source_deletes_nothing(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    for path in raw.rglob("*.jpg"):
        path.unlink()
    said = daemon.tick()
    assert not said.requests
    assert f"source {raw} holds no image and the dataset holds 12" in str(said.skipped)


def test_what_the_command_line_did_is_told_by_one_cheap_run(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    write_image(raw, keys_in(SHARDS[2], 1)[0], 99)
    run_dataset(daemon.settings)
    assert asked_ranges(daemon) == [(SHARDS[2], SHARDS[2])]
    told = numbers(daemon.shard_events(SHARDS[2])[0], "commit", "new", "decoded")
    assert told == {"commit": 2, "new": 0, "decoded": 0}
    assert numbers(daemon.index_events()[0], "published_now", "index_number") == {
        "published_now": False,
        "index_number": 2,
    }


def test_shards_made_by_hand_lead_to_an_index_alone(daemon: SmallDaemon) -> None:
    daemon.materialize(*WHOLE)
    assert asked_ranges(daemon) == [NO_SHARDS]
    assert numbers(daemon.index_events()[0], "dagster/row_count") == {"dagster/row_count": 12}


def test_a_changed_recipe_makes_every_shard_wanted(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    daemon.load(make_settings_for(raw.parent, **SMALL_SETTINGS, image={"width_px": 8, "height_px": 8}))
    assert asked_ranges(daemon) == [WHOLE]
    assert [numbers(daemon.shard_events(shard)[0], "kept")["kept"] for shard in SHARDS] == [0, 0, 0, 0]
    assert sum(numbers(daemon.shard_events(shard)[0], "changed")["changed"] for shard in SHARDS) == 12


def test_another_number_of_shards_is_reached_without_decoding_and_so_is_the_way_back(
    daemon: SmallDaemon, raw: Path
) -> None:
    daemon.settle()
    for number in (2, 4):
        daemon.load(make_settings_for(raw.parent, **SMALL_SETTINGS, num_shards=number))
        shards = shard_names(number)
        assert asked_ranges(daemon) == [(shards[0], shards[-1])]
        assert [numbers(daemon.shard_events(shard)[0], "decoded")["decoded"] for shard in shards] == [0] * number
        assert numbers(daemon.index_events()[0], "shards") == {"shards": number}


def test_without_an_extractor_no_vectors_are_asked_for(instance: dg.DagsterInstance, raw: Path) -> None:
    daemon = SmallDaemon(
        instance, make_settings_for(raw.parent, **{**SMALL_SETTINGS, "features": {"extractor": "none"}})
    )
    assert asked_ranges(daemon) == [WHOLE]
    assert daemon.tick().skipped == "nothing changed"


@pytest.mark.parametrize("started_by", ["sensor", "hand"])
def test_nothing_is_asked_for_while_a_run_is_under_way(daemon: SmallDaemon, raw: Path, started_by: str) -> None:
    daemon.settle()
    write_images(raw, 1, first=50)
    if started_by == "sensor":
        job = daemon.defs.resolve_job_def(daemon.names.update_job)
    else:
        job = daemon.defs.resolve_implicit_global_asset_job_def().get_subset(
            asset_selection={daemon.names.image_shards}
        )
    run = daemon.instance.create_run_for_job(
        job, asset_selection=job.asset_selection, status=dg.DagsterRunStatus.STARTED
    )
    said = daemon.tick()
    assert (said.requests, said.skipped) == ([], "a run for this dataset is under way; looking again after it")
    daemon.instance.report_run_failed(run)
    assert len(daemon.tick().requests) == 1


def test_an_export_of_one_file_a_shard_follows_the_index(instance: dg.DagsterInstance, raw: Path) -> None:
    settings = make_settings_for(raw.parent, **{**SMALL_SETTINGS, "exports": ["csv", "webdataset"]})
    daemon = SmallDaemon(instance, settings)
    daemon.settle()
    write_image(raw, keys_in(SHARDS[2], 1)[0], 99)
    assert asked_ranges(daemon) == [(SHARDS[2], SHARDS[2])]
    records = instance.fetch_materializations(daemon.names.follower("webdataset"), limit=10).records
    events = [event for record in records if (event := record.asset_materialization) is not None]
    assert [numbers(event, "files_written", "files") for event in events] == [
        {"files_written": 1, "files": 4},
        {"files_written": 4, "files": 4},
    ]
    # Wanted from now on, and only that is asked for.
    daemon.load(make_settings_for(raw.parent, **{**SMALL_SETTINGS, "exports": ["csv", "webdataset", "tfrecord"]}))
    assert asked_ranges(daemon) == [NO_SHARDS]
    assert len(list((raw.parent / "store/exports/tfrecord").glob("train-*"))) == 4
