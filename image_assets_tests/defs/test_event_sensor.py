"""The sensor over a bucket that tells of itself, and over a source whose listing outlasts a tick."""

import json

import dagster as dg
import pytest

from image_assets.core.sharding import shard_names
from image_assets.defs.names import LISTING_TAG
from image_assets.pipeline.run import run_dataset
from image_assets.sources import folder
from image_assets.storage.identity import open_store
from image_assets.storage.listings import listing_numbers
from image_assets_tests.buckets import watched_bucket
from image_assets_tests.defs.keys import keys_in
from image_assets_tests.defs.small_daemon import SMALL_SETTINGS, SmallDaemon, numbers, shard_range
from image_assets_tests.images import image_bytes, make_settings_for, write_image

SHARDS = shard_names(4)
LIST = "list-type=2"
# One request to a store costs nothing here; vectors and their runs are another story.
PLAIN = {**SMALL_SETTINGS, "features": {"extractor": "none"}}


@pytest.fixture
def watched(s3):
    with watched_bucket(s3) as bucket:
        for number, shard in enumerate(SHARDS):
            bucket.put(f"in/{keys_in(shard, 1)[0]}", image_bytes(number))
        yield bucket


@pytest.fixture
def follower(instance, watched, tmp_path):
    """The daemon of a dataset that follows the bucket, once everything is made."""
    daemon = SmallDaemon(instance, watched.settings(tmp_path, **PLAIN))
    assert len(daemon.settle()) == 1
    watched.trouble.seen.clear()
    return daemon


def under_way(daemon):
    job = daemon.defs.resolve_job_def(daemon.names.update_job)
    return daemon.instance.create_run_for_job(
        job, asset_selection=job.asset_selection, status=dg.DagsterRunStatus.STARTED
    )


def test_an_upload_starts_its_shard_alone_and_nothing_is_listed(follower, watched):
    key = keys_in(SHARDS[2], 2)[1]
    watched.put(f"in/{key}", image_bytes(50))
    said = follower.tick()
    assert said.observed == [SHARDS[2]]
    (request,) = said.requests
    assert shard_range(request) == (SHARDS[2], SHARDS[2])
    assert request.tags[LISTING_TAG] == "2"
    assert follower.run(request).success
    assert numbers(follower.shard_events(SHARDS[2])[0], "new", "kept") == {"new": 1, "kept": 1}
    assert follower.tick().skipped == "nothing changed"
    watched.delete(f"in/{key}")
    assert [shard_range(request) for request in follower.tick().requests] == [(SHARDS[2], SHARDS[2])]
    assert watched.trouble.count(LIST) == 0
    assert watched.trouble.count("DeleteMessageBatch") >= 2


def test_events_that_come_during_a_run_are_asked_for_after_it(follower, watched):
    watched.put(f"in/{keys_in(SHARDS[1], 2)[1]}", image_bytes(50))
    run = under_way(follower)
    said = follower.tick()
    assert (said.requests, said.observed) == ([], [SHARDS[1]])
    assert watched.messages() == 0
    follower.instance.report_run_failed(run)
    assert [shard_range(request) for request in follower.tick().requests] == [(SHARDS[1], SHARDS[1])]


def test_a_lost_event_is_found_by_the_next_listing_of_everything(follower, watched, tmp_path):
    watched.put(f"in/{keys_in(SHARDS[3], 2)[1]}", image_bytes(50))
    watched.take()
    assert follower.tick().requests == []
    settings = follower.settings
    sqs = settings.trigger.sqs.model_copy(update={"reconcile_s": 0.0})
    follower.load(settings.model_copy(update={"trigger": settings.trigger.model_copy(update={"sqs": sqs})}))
    (request,) = follower.tick().requests
    assert shard_range(request) == (SHARDS[3], SHARDS[3])
    assert request.tags[LISTING_TAG] == "2"


def test_what_a_run_by_hand_found_is_not_undone_by_the_sensor(follower, watched):
    watched.put(f"in/{keys_in(SHARDS[3], 2)[1]}", image_bytes(50))
    watched.take()  # the event is lost
    report = run_dataset(follower.settings)
    assert report.counts.new == 1
    # One run that tells Dagster of it, and changes nothing.
    (run,) = follower.settle()
    assert run.success
    assert numbers(follower.shard_events(SHARDS[3])[0], "new", "removed", "kept") == {"new": 0, "removed": 0, "kept": 2}


def test_a_queue_that_is_away_is_told_by_the_tick(follower, watched):
    watched.trouble.refuse = lambda method, path: 403 if "ReceiveMessage" in path else None
    said = follower.tick()
    assert said.requests == []
    assert "nothing changed; queue " in str(said.skipped)
    assert "cannot be read" in str(said.skipped)


def test_snapshots_do_not_pile_up(follower, watched):
    for number in range(6):
        watched.put(f"in/{keys_in(SHARDS[0], 1)[0]}", image_bytes(60 + number))
        under_way(follower) if number == 0 else None
        follower.tick()
    assert listing_numbers(open_store(follower.settings)) == [5, 6, 7]


def test_a_queue_for_a_folder_is_refused_when_the_dataset_is_loaded(instance, raw):
    trigger = {"sqs": {"queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q"}}
    with pytest.raises(Exception, match=r"trigger\.sqs goes with one source in an S3 bucket"):
        SmallDaemon(instance, make_settings_for(raw.parent, trigger=trigger))


@pytest.fixture
def slow(instance, raw, monkeypatch):
    """The daemon of a dataset of twelve images, of which a tick has time for five."""
    monkeypatch.setattr(folder, "_FILES_A_SLICE", 5)
    trigger = {**SMALL_SETTINGS["trigger"], "max_listing_s": 0.0}
    return SmallDaemon(instance, make_settings_for(raw.parent, **{**PLAIN, "trigger": trigger}))


def ticks(daemon):
    """Tick until a listing is complete; return what the ticks said."""
    said = [daemon.tick()]
    while "goes on at the next look" in str(said[-1].skipped):
        assert len(str(daemon.cursor)) < 4096
        said.append(daemon.tick())
        assert len(said) < 9
    return said


def test_a_listing_that_outlasts_a_tick_is_gone_on_with_and_its_run_does_not_list_again(slow, raw):
    said = ticks(slow)
    assert len(said) >= 4
    (request,) = said[-1].requests
    assert (shard_range(request), request.tags[LISTING_TAG]) == ((SHARDS[0], SHARDS[3]), "1")
    write_image(raw, "a/later.jpg", 99)
    assert slow.run(request).success
    assert numbers(slow.index_events()[0], "dagster/row_count") == {"dagster/row_count": 12}
    (request,) = ticks(slow)[-1].requests
    assert slow.run(request).success
    assert numbers(slow.index_events()[0], "dagster/row_count") == {"dagster/row_count": 13}
    assert ticks(slow)[-1].skipped == "nothing changed"


def test_a_listing_that_is_complete_during_a_run_is_looked_at_after_it(slow):
    run = under_way(slow)
    said = ticks(slow)
    assert said[-1].skipped == "a run for this dataset is under way; looking again after it"
    assert json.loads(slow.cursor)["pending"] == 1
    slow.tick()  # the next listing begins meanwhile
    slow.instance.report_run_failed(run)
    (request,) = slow.tick().requests
    assert request.tags[LISTING_TAG] == "1"
    assert "pending" not in json.loads(slow.cursor)
    assert "partial" in json.loads(slow.cursor)
