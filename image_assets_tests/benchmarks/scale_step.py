"""One step of a dataset of very many images, measured: run by :mod:`image_assets_tests.benchmarks.scale`."""

import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from image_assets.core.sharding import bucket_of, bucket_range, shard_names
from image_assets.pipeline.detect import detect
from image_assets.pipeline.held_images import images_of_keys
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.listing_snapshots import publish_whole
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import update_shards
from image_assets.pipeline.summary import status_summary
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.settings import Settings
from image_assets.sources import SOURCES
from image_assets.storage.identity import open_store
from image_assets.storage.manifests import commit_manifest, latest_commit, read_manifest
from image_assets.storage.store import Store, StoredFile
from image_assets_tests.benchmarks.peak import Peak, anonymous
from image_assets_tests.benchmarks.scale_store import KIND, SimulatedSource, listed_from_outside, make_commits

_LOOKS = 1000
_NAMES_A_PAGE = 1000
_REQUESTS = {"open": "get", "get": "get", "put": "put", "put_if_absent": "put", "exists": "head", "delete": "delete"}


def count_requests() -> Counter[str]:
    """Count from now on what this process asks its stores for; return the counts, which go on.

    A list counts once for each thousand names, as in a bucket. Of a large object there would be more reads.
    """
    asked: Counter[str] = Counter()

    def counted(verb: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            asked[kind] += 1
            return verb(*arguments, **options)

        return call

    def listed(*arguments: Any) -> Iterator[StoredFile]:
        for number, file in enumerate(plain_list(*arguments)):
            asked["list"] += number % _NAMES_A_PAGE == 0
            yield file

    plain_list = Store.list
    for name, kind in _REQUESTS.items():
        setattr(Store, name, counted(getattr(Store, name), kind))
    Store.list = listed  # type: ignore[method-assign,assignment]
    return asked


def take(step: str, settings: Settings) -> str:
    """Take a step and return in words what came of it."""
    name, _, number = step.partition(":")
    return _STEPS[name](settings, int(number or 0))


def _list(settings: Settings, _: int) -> str:
    count = int(settings.source.path.rsplit(":", 2)[1])
    number = publish_whole(open_store(settings), settings, listed_from_outside(count), time.time())
    return f"snapshot {number}, {_size(settings, 'listings')}"


def _make(settings: Settings, segment_rows: int) -> str:
    # Nothing is lost that could not be made again, and waiting for the disk is not what is measured.
    os.fsync = lambda handle: None  # type: ignore[assignment]
    make_commits(settings, segment_rows)
    return f"segments {_size(settings, 'segments')}, manifests {_size(settings, 'shards')}"


def _detect(settings: Settings, _: int) -> str:
    return f"{len(detect(settings).touched())} shards touched"


def _plan(settings: Settings, _: int) -> str:
    report = plan_dataset(settings)
    return f"{report.counts.changed} changed, {report.counts.kept} kept, {len(report.touched)} shards"


def _commit(settings: Settings, _: int) -> str:
    """Bring the one shard up to date that the only changed image is in."""
    bucket = bucket_of("c000/image-000000000.jpg")
    shards = [shard for shard in shard_names(settings.num_shards) if bucket in range(*bucket_range(shard))]
    (report,) = update_shards(settings, shards).reports
    assert report.published
    return f"{report.head.images} rows, {report.counts.decoded} decoded"


def _index(settings: Settings, _: int) -> str:
    report = build_index(settings)
    assert report.published, report.why
    size_bytes = (Path(settings.store) / "index.parquet").stat().st_size
    return f"{report.head.rows} rows, {size_bytes / 2**20:.0f} MiB, {report.head.digest[:8]}"


def _touch(settings: Settings, shards: int) -> str:
    """Commit some shards once more."""
    store = open_store(settings)
    for shard in shard_names(settings.num_shards)[:shards]:
        found = read_manifest(store, shard, latest_commit(store, shard))
        commit_manifest(store, replace(found, head=replace(found.head, number=found.head.number + 1)))
    return f"{shards} shards"


def _status(settings: Settings, _: int) -> str:
    found = status_summary(settings)
    return f"digest {found['digest'][:8]}, {found['rows']} rows"


def _open(settings: Settings, _: int) -> str:
    started_at = time.perf_counter()
    with open_dataset(settings.store) as dataset:
        opened_s = time.perf_counter() - started_at
        rows = np.random.default_rng(0).integers(0, len(dataset), _LOOKS).tolist()
        dataset.values(rows[0], ("segment", "row"))
        first_s = time.perf_counter() - started_at - opened_s
        for row in rows:
            dataset.values(row, ("segment", "row"))
        looked_s = time.perf_counter() - started_at - opened_s - first_s
    return f"opened in {opened_s:.2f} s, first row {first_s:.2f} s, then {looked_s / _LOOKS * 1e6:.0f} µs a row"


def _read(settings: Settings, _: int) -> str:
    with open_dataset(settings.store) as dataset:
        rows = sum(piece.num_rows for piece in dataset.row_batches(4096, ("key", "label", "segment", "row")))
    return f"{rows} rows, four columns"


def _forget(settings: Settings, _: int) -> str:
    """Look for what would be forgotten of one key."""
    keys, hashes = images_of_keys(open_store(settings), frozenset({"c000/image-000000000.jpg"}))
    return f"{len(keys)} key, {len(hashes)} contents"


def _gc(settings: Settings, _: int) -> str:
    return _vacuumed(settings, Retention(), dry_run=True)


def _vacuum(settings: Settings, _: int) -> str:
    return _vacuumed(settings, Retention(keep=1), dry_run=False)


def _vacuumed(settings: Settings, retention: Retention, *, dry_run: bool) -> str:
    report = vacuum_dataset(settings, retention, compact=False, dry_run=dry_run)
    return f"{len(report.removed)} files, {report.freed_bytes / 2**20:.0f} MiB"


def _size(settings: Settings, folder: str) -> str:
    files = [path for path in (Path(settings.store) / folder).rglob("*") if path.is_file()]
    return f"{sum(path.stat().st_size for path in files) / 2**20:.0f} MiB in {len(files)} files"


_STEPS: dict[str, Callable[[Settings, int], str]] = {
    "nothing": lambda settings, number: "imports alone",
    "list": _list,
    "make": _make,
    "detect": _detect,
    "plan": _plan,
    "commit": _commit,
    "index": _index,
    "touch": _touch,
    "status": _status,
    "open": _open,
    "read": _read,
    "forget": _forget,
    "gc": _gc,
    "vacuum": _vacuum,
}


def main() -> None:
    SOURCES[KIND] = SimulatedSource
    settings = Settings.model_validate_json(sys.argv[2])
    started_at, cpu_s = time.perf_counter(), time.process_time()
    asked = count_requests()
    with Peak(anonymous) as peak:
        what = take(sys.argv[1], settings)
    spent = {"seconds": time.perf_counter() - started_at, "cpu_s": time.process_time() - cpu_s, "what": what}
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(spent | {"anonymous_bytes": peak.bytes["anonymous"], "rss_bytes": rss, "asked": asked}))


if __name__ == "__main__":
    main()
