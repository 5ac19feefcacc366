"""One step on the way from a source to a plan, measured: run by :mod:`image_assets_tests.benchmarks.listing`."""

import json
import sys
import threading
import time
from collections.abc import Callable

import psutil

from image_assets.core.object_urls import parse_object_url
from image_assets.core.sharding import shard_names
from image_assets.pipeline.detect import detect
from image_assets.pipeline.labels import label_listing
from image_assets.pipeline.planning import plan_dataset
from image_assets.settings import Settings
from image_assets.settings.sources import SourceSettings
from image_assets.sources import SOURCES, build_source
from image_assets.sources.base import SlicedSource
from image_assets.sources.object_stores import open_object_store
from image_assets_tests.benchmarks.inventories import KIND, Inventory

_SAMPLE_EVERY_S = 0.02


class Peak:
    """The highest memory of this process: its part of shared pages, its own pages, and those that are of no file."""

    def __init__(self) -> None:
        self.bytes = {"pss": 0, "uss": 0, "anonymous": 0}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            info = me.memory_full_info()
            for name, value in (("pss", info.pss), ("uss", info.uss), ("anonymous", info.rss - info.shared)):
                self.bytes[name] = max(self.bytes[name], value)
            if self._done.wait(_SAMPLE_EVERY_S):
                return


def take(step: str, content: str) -> str:
    """Take a step and return in words what came of it."""
    if step == "folder":
        listing = build_source(SourceSettings(path=json.loads(content)["path"])).list()
        return f"{listing.num_rows} files" + (" in one folder" if json.loads(content)["flat"] else "")
    return _STEPS[step](Settings.model_validate_json(content))


def _fingerprints(settings: Settings) -> str:
    listing = label_listing(build_source(settings.source).list(), settings.labels)
    return f"{len({listing.fingerprint(shard) for shard in shard_names(settings.num_shards)})} shards, listed anew"


def _slices(settings: Settings) -> str:
    source = build_source(settings.source)
    assert isinstance(source, SlicedSource)
    return f"{sum(rows.num_rows for rows, _ in source.list_slices(None))} rows"


def _plan(settings: Settings) -> str:
    report = plan_dataset(settings)
    return f"{report.counts.changed} changed, {report.counts.kept} kept, {len(report.touched)} shards, listed anew"


def _by_obstore(settings: Settings) -> str:
    """List by the client of all clouds."""
    import obstore

    chunks = obstore.list(open_object_store(settings.source.path), chunk_size=10_000, return_arrow=True)
    return f"{sum(chunk.num_rows for chunk in chunks)} objects"


def _by_boto3(settings: Settings) -> str:
    """List by Amazon's own client."""
    import boto3

    place = parse_object_url(settings.source.path)
    pages = boto3.client("s3", endpoint_url=place.options["endpoint_url"]).get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=place.bucket, Prefix=f"{place.prefix}/")
    return f"{sum(len(page['Contents']) for page in found)} objects"


_STEPS: dict[str, Callable[[Settings], str]] = {
    "nothing": lambda settings: "imports alone",
    "list": lambda settings: f"{build_source(settings.source).list().num_rows} rows",
    "slices": _slices,
    "fingerprints": _fingerprints,
    "detect": lambda settings: f"{len(detect(settings).touched())} shards touched, listed anew",
    "plan": _plan,
    "unchanged": _plan,
    "obstore": _by_obstore,
    "boto3": _by_boto3,
}


def main() -> None:
    SOURCES[KIND] = Inventory
    started_at, cpu_s = time.perf_counter(), time.process_time()
    with Peak() as peak:
        what = take(*sys.argv[1:])
    spent = {"seconds": time.perf_counter() - started_at, "cpu_s": time.process_time() - cpu_s}
    print(json.dumps(spent | {f"{name}_bytes": value for name, value in peak.bytes.items()} | {"what": what}))


if __name__ == "__main__":
    main()
