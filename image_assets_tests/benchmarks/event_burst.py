"""A burst of notifications in a queue, followed by a dataset's sensor until none is left: ticks, seconds, requests.

    python -m image_assets_tests.benchmarks.event_burst --events 10000

Bucket and queue are moto's, on this machine, so the seconds are its own for the most part. Requests are counted by a
proxy, in a burst of its own that is not timed. Runs that ticks ask for are not made; a tick begins when the last one
ended.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import dagster as dg

from image_assets.pipeline.bucket_events import follow_events
from image_assets.settings import Settings
from image_assets_tests.benchmarks.peak import Peak, shares
from image_assets_tests.benchmarks.processes import measure_module
from image_assets_tests.buckets import WatchedBucket, notification, watched_bucket
from image_assets_tests.defs.small_daemon import SmallDaemon
from image_assets_tests.servers import s3_server

_MODULE = "image_assets_tests.benchmarks.event_burst"
_KINDS = ("ReceiveMessage", "DeleteMessageBatch", "HEAD", "list-type=2")


def main(arguments: list[str]) -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description="A burst of notifications, followed until none is left.")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--follow", type=Path, help="settings of the dataset whose sensor is to tick")
    given = parser.parse_args(arguments)
    if given.follow is not None:
        print(json.dumps(_follow(Settings.model_validate_json(given.follow.read_text()))))
        return
    print(f"{'':<40}{'ticks':>6}{'s':>8}{'CPU s':>7}{'MB':>6}{'MB idle':>8}  requests an event")
    for name, put in _BURSTS.items():
        _measure(name, put, given.events)


def _measure(name: str, put: Callable[[WatchedBucket, int], None], events: int) -> None:
    with _burst(put, events, counting=False) as (watched, folder):
        took = _measured(watched, folder)
    with _burst(put, events, counting=True) as (watched, folder):
        _measured(watched, folder)
        seen = [_kind(f"{method} {path}") for method, path in watched.trouble.seen]
    said = ", ".join(f"{kind} {number / events:.3f}" for kind, number in Counter(seen).most_common())
    memory = f"{took['peak_bytes'] / 1e6:>6.0f}{took['idle_bytes'] / 1e6:>8.0f}"
    print(f"{name:<40}{took['ticks']:>6}{took['wall_s']:>8.1f}{took['cpu_s']:>7.1f}{memory}  {said}", flush=True)


@contextmanager
def _burst(
    put: Callable[[WatchedBucket, int], None], events: int, *, counting: bool
) -> Iterator[tuple[WatchedBucket, Path]]:
    """Yield a bucket whose queue holds the burst, and the folder of a dataset that has looked at it before."""
    with s3_server() as server, tempfile.TemporaryDirectory() as name, watched_bucket(server) as made:
        os.environ.update(server.environment)
        watched = made if counting else replace(made, proxy=server)
        settings = watched.settings(Path(name))
        assert settings.trigger.sqs is not None
        watched.put("in/first.jpg", b"0")
        follow_events(settings, settings.trigger.sqs, None, time.time())
        watched.take()
        put(watched, events)
        watched.trouble.seen.clear()
        yield watched, Path(name)


def _measured(watched: WatchedBucket, folder: Path) -> dict[str, Any]:
    written = folder / "settings.json"
    written.write_text(watched.settings(folder).model_dump_json())
    return measure_module(_MODULE, "--follow", str(written)).printed


def _follow(settings: Settings) -> dict[str, Any]:
    """Tick until the queue is empty; return what that took."""
    sqs = settings.trigger.sqs
    assert sqs is not None
    queue = boto3.client("sqs", endpoint_url=sqs.endpoint_url, region_name=sqs.region)
    with dg.instance_for_test() as instance, Peak(shares) as peak:
        daemon = SmallDaemon(instance, settings)
        time.sleep(0.5)
        idle_bytes, wall_s, cpu_s, ticks = peak.bytes["uss"], time.perf_counter(), time.process_time(), 0
        while any(waiting := _messages(queue, sqs.queue_url)):
            if not waiting[0]:
                # What a tick had no time for is handed out again after two minutes; until then there is nothing to do.
                time.sleep(1)
                continue
            daemon.tick()
            ticks += 1
        took = {"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s}
    return {**took, "ticks": ticks, "idle_bytes": idle_bytes, "peak_bytes": peak.bytes["uss"]}


def _messages(queue: Any, url: str) -> tuple[int, int]:
    """Return how many messages wait, and how many were handed out and are not deleted."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])


def _kind(request: str) -> str:
    return next((kind for kind in _KINDS if kind in request), "other")


def _one_each(watched: WatchedBucket, events: int) -> None:
    _put_silently(watched, events)
    watched.send(*(notification(watched.bucket, f"in/{at}.jpg") for at in range(events)))


def _hundred_each(watched: WatchedBucket, events: int) -> None:
    _put_silently(watched, events // 100)
    watched.send(*(notification(watched.bucket, f"in/{at % (events // 100)}.jpg") for at in range(events)))


def _of_nothing(watched: WatchedBucket, events: int) -> None:
    watched.send(*(notification(watched.bucket, f"in/{at}.txt") for at in range(events)))


def _put_silently(watched: WatchedBucket, objects: int) -> None:
    """Upload objects of which the bucket says nothing: in batches it is sent in a tenth of the time."""
    watched.objects.put_bucket_notification_configuration(Bucket=watched.bucket, NotificationConfiguration={})
    for number in range(objects):
        watched.put(f"in/{number}.jpg", b"0")


_BURSTS = {
    "every event of another new object": _one_each,
    "a hundred events of each object": _hundred_each,
    "events of what is no image": _of_nothing,
}

if __name__ == "__main__":
    main(sys.argv[1:])
