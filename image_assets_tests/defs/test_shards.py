"""Materializing shards: any range in one process, each one committed, checked and reported on its own."""

from pathlib import Path

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter

from image_assets.checks import SHARD_CHECKS
from image_assets.core.sharding import shard_names
from image_assets.defs.instance_events import MATERIALIZED, OBSERVED, latest_event_ids, recorded_versions
from image_assets.pipeline.detect import detect
from image_assets.storage.manifests import latest_commit
from image_assets.storage.store import Store
from image_assets_tests.defs.keys import keys_in, make_rotten
from image_assets_tests.defs.small_daemon import SmallDaemon, numbers
from image_assets_tests.images import write_image, write_images

SHARDS = shard_names(4)


def check_results(daemon: SmallDaemon, shard: str) -> dict[str, tuple[bool, str]]:
    """Return the last result of each check of a shard that counts for the shard's last materialization."""
    keys = [dg.AssetCheckKey(daemon.names.image_shards, name) for name in SHARD_CHECKS]
    storage = daemon.instance.event_log_storage
    here = PartitionKeyFilter(key=shard)
    found = {}
    for info in storage.get_asset_check_partition_info(keys, partition_keys=[shard]):
        record = storage.get_asset_check_execution_history(info.check_key, limit=1, partition_filter=here)[0]
        if info.is_current and record.evaluation is not None:
            found[info.check_key.name] = (record.evaluation.passed, record.evaluation.severity.value)
    return found


def test_a_range_is_reported_partition_by_partition_with_the_version_of_its_commit(daemon: SmallDaemon) -> None:
    assert daemon.materialize(SHARDS[0], SHARDS[3]).success
    state = detect(daemon.settings)
    told = recorded_versions(daemon.instance, daemon.names.image_shards, MATERIALIZED)
    assert told == {shard: state.heads[shard].data_version for shard in SHARDS}
    assert all(len(daemon.shard_events(shard)) == 1 for shard in SHARDS)
    events = [daemon.shard_events(shard)[0] for shard in SHARDS]
    assert sum(numbers(event, "new")["new"] for event in events) == 12
    assert all(numbers(event, "pipeline_status") == {"pipeline_status": "success"} for event in events)


def test_every_check_has_a_result_for_each_partition(daemon: SmallDaemon) -> None:
    daemon.materialize(SHARDS[0], SHARDS[3])
    passed = dict.fromkeys(SHARD_CHECKS, True)
    for shard in SHARDS:
        assert {name: result[0] for name, result in check_results(daemon, shard).items()} == passed


def test_a_part_of_the_range_leaves_the_rest_alone(daemon: SmallDaemon) -> None:
    daemon.materialize(SHARDS[1], SHARDS[2])
    commits = [latest_commit(Store(daemon.settings.store), shard) for shard in SHARDS]
    assert commits == [0, 1, 1, 0]


def test_unchanged_shards_are_told_again_and_keep_their_check_results(daemon: SmallDaemon) -> None:
    daemon.materialize(SHARDS[0], SHARDS[3])
    daemon.materialize(SHARDS[0], SHARDS[3])
    for shard in SHARDS:
        newest, first = daemon.shard_events(shard)
        assert numbers(newest, "commit", "new", "decoded") == {"commit": 1, "new": 0, "decoded": 0}
        assert newest.tags == first.tags
        assert check_results(daemon, shard).keys() == SHARD_CHECKS.keys()


def test_a_rotten_shard_does_not_stop_the_others_and_the_run_says_so(daemon: SmallDaemon, raw: Path) -> None:
    make_rotten(raw, SHARDS[1])
    result = daemon.materialize(SHARDS[0], SHARDS[3])
    assert not result.success
    assert [len(daemon.shard_events(shard)) for shard in SHARDS] == [1, 0, 1, 1]
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert SHARDS[1] in str(failure.step_failure_data.user_failure_data)
    assert check_results(daemon, SHARDS[1])["failed_fraction"] == (False, "ERROR")


def test_a_shard_that_turns_rotten_keeps_its_last_good_state_and_shows_a_failed_check(
    daemon: SmallDaemon, raw: Path
) -> None:
    daemon.materialize(SHARDS[0], SHARDS[3])
    make_rotten(raw, SHARDS[1])
    daemon.materialize(SHARDS[1], SHARDS[1])
    assert latest_commit(Store(daemon.settings.store), SHARDS[1]) == 1
    assert check_results(daemon, SHARDS[1])["failed_fraction"] == (False, "ERROR")


def test_a_few_bad_images_warn_and_are_named_in_the_metadata(daemon: SmallDaemon, raw: Path) -> None:
    key = keys_in(SHARDS[2], 1, prefix="a/bad|[x](y)")[0]
    (raw / key).write_bytes(b"no image")
    assert daemon.materialize(SHARDS[0], SHARDS[3]).success
    assert check_results(daemon, SHARDS[2])["failed_fraction"] == (False, "WARN")
    event = daemon.shard_events(SHARDS[2])[0]
    assert numbers(event, "failed", "corrupted_images") == {"failed": 1, "corrupted_images": 1}
    table = str(event.metadata["failed_now"].value)
    assert "not_an_image" in table
    assert "|[x](y)" not in table  # no markup out of a file's name


def test_the_launchpad_can_confirm_that_the_source_is_meant_to_be_empty(daemon: SmallDaemon, raw: Path) -> None:
    daemon.materialize(SHARDS[0], SHARDS[3])
    for path in raw.rglob("*.jpg"):
        path.unlink()
    assert not daemon.materialize(SHARDS[0], SHARDS[3]).success
    assert daemon.materialize(SHARDS[0], SHARDS[3], allow_deletes=True).success
    assert [numbers(daemon.shard_events(shard)[0], "images")["images"] for shard in SHARDS] == [0, 0, 0, 0]


def test_a_materialization_names_the_observation_it_followed(daemon: SmallDaemon, raw: Path) -> None:
    daemon.settle()
    write_image(raw, keys_in(SHARDS[3], 1)[0], 99)
    daemon.settle()
    upstream = daemon.names.raw_listing.to_user_string()
    tags = daemon.shard_events(SHARDS[3])[0].tags or {}
    event = latest_event_ids(daemon.instance, daemon.names.raw_listing, OBSERVED)[SHARDS[3]]
    assert tags[f"dagster/input_event_pointer/{upstream}"] == str(event)
    observed = recorded_versions(daemon.instance, daemon.names.raw_listing, OBSERVED)[SHARDS[3]]
    assert (
        tags[f"dagster/input_data_version/{upstream}"]
        == observed
        == detect(daemon.settings).heads[SHARDS[3]].fingerprint
    )


def test_index_and_vectors_follow_in_the_same_run(daemon: SmallDaemon, raw: Path) -> None:
    runs = daemon.settle()
    assert [run.success for run in runs] == [True]
    assert numbers(daemon.index_events()[0], "dagster/row_count", "shards") == {"dagster/row_count": 12, "shards": 4}
    write_images(raw, 1, first=50)
    daemon.settle()
    assert numbers(daemon.index_events()[0], "dagster/row_count") == {"dagster/row_count": 13}


def test_observing_the_listing_by_hand_records_each_shards_fingerprint(daemon: SmallDaemon) -> None:
    everything = daemon.defs.resolve_implicit_global_asset_job_def()
    job = everything.get_subset(asset_selection={daemon.names.raw_listing})
    assert job.execute_in_process(instance=daemon.instance).success
    wanted = detect(daemon.settings).wanted.fingerprints
    found = recorded_versions(daemon.instance, daemon.names.raw_listing, OBSERVED)
    assert found == wanted
