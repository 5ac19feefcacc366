"""One step on the way from a source to a plan, measured: run by :mod:`image_assets_tests.benchmarks.listing`."""

import json
import sys
import time
from collections.abc import Callable

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
from image_assets_tests.benchmarks.peak import Peak, shares


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
    with Peak(shares) as peak:
        what = take(*sys.argv[1:])
    spent = {"seconds": time.perf_counter() - started_at, "cpu_s": time.process_time() - cpu_s}
    print(json.dumps(spent | {f"{name}_bytes": value for name, value in peak.bytes.items()} | {"what": what}))


if __name__ == "__main__":
    main()
