"""Following a bucket by its events, against a server of S3 and SQS: however they come, the end is the same."""

import tempfile
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from image_assets.core.errors import ConfigError, StoreError
from image_assets.core.sharding import shard_names
from image_assets.pipeline import bucket_events
from image_assets.pipeline.bucket_events import event_place, follow_events
from image_assets.pipeline.detect import detect
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.run import run_dataset, update_shards
from image_assets.sources import build_source
from image_assets.storage.identity import open_store
from image_assets.storage.listings import listing_numbers
from image_assets_tests.buckets import notification, watched_bucket
from image_assets_tests.images import image_bytes, make_settings_for

LIST = "list-type=2"
SHARDS = shard_names(4)


@pytest.fixture
def watched(s3):
    with watched_bucket(s3) as bucket:
        yield bucket


def follow(dataset, *, later_s=0.0):
    """Look once; the answer is the listing of a snapshot."""
    look = follow_events(dataset, dataset.trigger.sqs, None, time.time() + later_s)
    assert look.listing is not None
    return look


def rows_of(look):
    return look.listing.table.to_pylist()


def listed(dataset):
    return build_source(dataset.source).list().table.to_pylist()


def test_the_notifications_of_the_server_are_followed_without_listing(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    watched.put("in/a/0.jpg", image_bytes(0))
    assert rows_of(follow(dataset)) == listed(dataset)
    follow(dataset)
    watched.put("in/a/1 +%é.jpg", image_bytes(1))
    watched.put("in/a/0.jpg", image_bytes(2))
    watched.put("elsewhere/3.jpg", image_bytes(3))
    watched.put("in/.hidden/4.jpg", image_bytes(4))
    watched.put("in/notes.txt", b"text")
    watched.put("in/folder/", b"")
    watched.trouble.seen.clear()
    look = follow(dataset)
    assert watched.trouble.count(LIST) == 0
    assert watched.trouble.count("HEAD ") == 2
    assert [row["key"] for row in sorted(rows_of(look), key=lambda row: row["key"])] == ["a/0.jpg", "a/1 +%é.jpg"]
    assert rows_of(look) == listed(dataset)
    watched.delete("in/a/0.jpg")
    assert rows_of(follow(dataset)) == listed(dataset)
    assert watched.messages() == 0


def test_the_snapshots_may_lie_in_a_bucket_as_well(watched, tmp_path):
    dataset = watched.settings(tmp_path, store=watched.server.url(watched.server.new_bucket(), "store"))
    watched.put("in/0.jpg", image_bytes(0))
    follow(dataset)
    watched.put("in/1.jpg", image_bytes(1))
    look = follow(dataset)
    assert (look.number, rows_of(look)) == (2, listed(dataset))


def test_an_event_that_says_nothing_new_makes_no_snapshot(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    watched.put("in/0.jpg", image_bytes(0))
    assert [follow(dataset).number, follow(dataset).number, follow(dataset).number] == [1, 1, 1]
    watched.send(*[notification(watched.bucket, "in/0.jpg")] * 3)
    assert follow(dataset).number == 1
    assert watched.messages() == 0


@pytest.mark.parametrize("path", ["in/e\u0301.jpg", "in/\u00e9.jpg"])
def test_a_name_in_another_spelling_is_one_image(watched, tmp_path, path):
    dataset = watched.settings(tmp_path, source={"prefix": "cam/"})
    follow(dataset)
    watched.put(path, image_bytes(0))
    assert rows_of(follow(dataset)) == listed(dataset)
    (row,) = rows_of(follow(dataset))
    assert row["key"] == "cam/\u00e9.jpg"
    watched.put(path, image_bytes(1))
    watched.trouble.seen.clear()
    look = follow(dataset)
    assert watched.trouble.count(LIST) == 0
    assert rows_of(look) == listed(dataset)


def test_two_names_that_are_one_in_nfc_are_told_apart_by_a_listing(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    watched.put("in/e\u0301.jpg", image_bytes(0))
    follow(dataset)
    watched.put("in/\u00e9.jpg", image_bytes(1))
    assert {row["key"] for row in rows_of(follow(dataset))} == {"\u00e9.jpg", "e%CC%81.jpg"}
    assert unicodedata.normalize("NFC", "e\u0301") == "\u00e9"


def test_events_of_names_that_are_no_paths_are_followed(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    follow(dataset)
    names = ["in/a//b.jpg", "in/./c.jpg", "in//../\t\u00e9.jpg"]
    for number, name in enumerate([*names, names[0]]):
        watched.put(name, image_bytes(number))
    watched.delete(names[1])
    watched.trouble.seen.clear()
    look = follow(dataset)
    assert (len(rows_of(look)), watched.trouble.count(LIST)) == (2, 0)
    assert rows_of(look) == listed(dataset)
    watched.put("in/a/%2Fb.jpg", image_bytes(5))
    assert rows_of(follow(dataset)) == listed(dataset)


def test_of_a_bucket_with_versions_the_present_one_counts(watched, tmp_path):
    watched.objects.put_bucket_versioning(Bucket=watched.bucket, VersioningConfiguration={"Status": "Enabled"})
    dataset = watched.settings(tmp_path)
    follow(dataset)
    for number in range(3):
        watched.put("in/0.jpg", image_bytes(number))
    assert rows_of(follow(dataset)) == listed(dataset) != []
    watched.delete("in/0.jpg")  # puts a marker before the versions, which this server does not tell of itself
    watched.send(notification(watched.bucket, "in/0.jpg"))
    assert rows_of(follow(dataset)) == []


def test_what_is_no_notification_stays_in_the_queue_and_is_told(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    follow(dataset)
    watched.take()
    watched.send(
        "no json", '{"order": 7}', notification("another-bucket", "in/a.jpg"), notification(watched.bucket, "x")
    )
    look = follow(dataset)
    assert "3 messages are no notifications of this bucket and stay in the queue" in look.trouble
    assert watched.messages() == 3


def test_no_message_is_deleted_when_the_snapshot_cannot_be_written(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    follow(dataset)
    watched.take()
    watched.put("in/0.jpg", image_bytes(0))
    staging = Path(dataset.store, "tmp")
    staging.rmdir()
    staging.write_bytes(b"in the way")
    with pytest.raises(StoreError):
        follow(dataset)
    assert watched.messages() == 1


def test_a_message_that_comes_again_after_a_crash_changes_nothing(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    follow(dataset)
    watched.take()
    watched.put("in/0.jpg", image_bytes(0))
    watched.trouble.refuse = lambda method, path: 403 if "DeleteMessageBatch" in path else None
    look = follow(dataset)
    # As after a crash between the two: the snapshot has the image, and the message comes again.
    assert (look.number, len(rows_of(look)), watched.messages()) == (2, 1, 1)
    assert "cannot be emptied" in look.trouble
    watched.trouble.refuse = lambda method, path: None
    watched.send(notification(watched.bucket, "in/0.jpg"))
    assert follow(dataset).number == 2


def test_what_the_bucket_does_not_tell_is_asked_again(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    follow(dataset)
    watched.take()
    watched.put("in/0.jpg", image_bytes(0))
    watched.trouble.refuse = lambda method, path: 403 if method == "HEAD" else None
    assert follow(dataset).number == 1
    assert watched.messages() == 1


def test_a_queue_that_is_away_delays_until_everything_is_listed(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    follow(dataset)
    watched.put("in/0.jpg", image_bytes(0))
    watched.trouble.refuse = lambda method, path: 403 if "ReceiveMessage" in path else None
    look = follow(dataset)
    assert (look.number, rows_of(look)) == (1, [])
    assert "cannot be read" in look.trouble
    assert rows_of(follow(dataset, later_s=4000)) == listed(dataset) != []


def test_a_burst_is_taken_in_portions(watched, tmp_path):
    sqs = {**watched.sqs, "max_messages": 40}
    dataset = watched.settings(tmp_path, trigger={"sqs": sqs})
    follow(dataset)
    watched.take()
    watched.send(*(notification(watched.bucket, f"in/{number}.jpg") for number in range(100)))
    for number in range(0, 100, 10):
        watched.put(f"in/{number}.jpg", image_bytes(number))
    left = [100]
    while left[-1]:
        follow(dataset)
        left.append(watched.messages())
        assert 0 < left[-2] - left[-1] <= 40
    assert rows_of(follow(dataset)) == listed(dataset)


def test_without_any_time_each_look_deals_with_some(watched, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket_events, "_LOOKED_AT_ONCE", 3)
    dataset = watched.settings(tmp_path, trigger={"max_listing_s": 0.0})
    follow(dataset)
    watched.take()
    for number in range(5):
        watched.put(f"in/{number}.jpg", image_bytes(number))
    look = follow(dataset)
    assert look.listing.num_rows == 3
    assert watched.messages() == 2


def test_while_everything_is_listed_messages_wait(watched, tmp_path):
    dataset = watched.settings(tmp_path)
    watched.put("in/0.jpg", image_bytes(0))
    before = watched.messages()
    follow(dataset)
    follow(dataset, later_s=4000)
    assert watched.messages() == before


@pytest.mark.parametrize(
    "source",
    [
        {"path": "raw"},
        {"path": "gs://bucket/in"},
        {"path": "s3://bucket/in.tar"},
        [{"path": "s3://b/", "prefix": "a/"}],
    ],
)
def test_events_go_with_a_source_in_s3(tmp_path, source):
    trigger = {"sqs": {"queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q"}}
    with pytest.raises(ConfigError, match=r"trigger.sqs goes with"):
        event_place(make_settings_for(tmp_path, source=source, trigger=trigger))


KEYS = ["in/a/0.jpg", "in/a/1.jpg", "in/b/2.jpg", "in/b/3.jpg", "in/c d.jpg"]
changes = st.tuples(st.sampled_from(KEYS), st.none() | st.integers(0, 5))
# What becomes of the messages of a round: lost, doubled, kept for later, turned round.
fates = st.lists(st.sampled_from(["in time", "lost", "doubled", "delayed"]), max_size=4)
rounds = st.lists(st.tuples(st.lists(changes, max_size=4), fates, st.booleans()), min_size=1, max_size=4)


@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rounds)
def test_lost_doubled_delayed_and_reordered_events_end_in_the_same_dataset(s3, story):
    with tempfile.TemporaryDirectory() as name, watched_bucket(s3) as watched:
        folder = Path(name)
        # So that even an emptied bucket is believed: what is lost is not what is told here.
        checks = {"lost_fraction": {"error": 1.0, "min_lost": 99}}
        dataset = watched.settings(folder, checks=checks)
        watched.put("in/stays.jpg", image_bytes(9))
        follow(dataset)
        delayed, told_all = [], True
        for steps, fate, turned in story:
            for path, number in steps:
                watched.delete(path) if number is None else watched.put(path, image_bytes(number))
            bodies = watched.take()
            sent = []
            for at, body in enumerate(bodies):
                what = fate[at] if at < len(fate) else "in time"
                told_all = told_all and what != "lost"
                sent += [body] * {"in time": 1, "doubled": 2}.get(what, 0)
                delayed += [body] if what == "delayed" else []
            watched.send(*(reversed(sent) if turned else sent))
            update_shards(dataset, SHARDS, snapshot=follow(dataset).number)
        watched.send(*delayed)
        look = follow(dataset)
        if told_all:
            assert rows_of(look) == listed(dataset)
        look = follow(dataset, later_s=4000)
        assert rows_of(look) == listed(dataset)
        update_shards(dataset, SHARDS, snapshot=look.number)
        scratch = run_dataset(dataset.model_copy(update={"store": str(folder / "scratch")}))
        assert build_index(dataset).head.digest == scratch.index.head.digest
        assert detect(dataset).touched() == []
        assert listing_numbers(open_store(dataset))[-1] == look.number
