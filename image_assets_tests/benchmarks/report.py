"""What a report costs on a large dataset: processor seconds, the memory it takes, the size of the page.

    python -m image_assets_tests.benchmarks.report --images 1000000 --labels 1000

The dataset is made up of some real images over and over: an index, the commits of 64 shards with one image in a
hundred failed, duplicates (every fifth image in a group) and quality (every tenth image blurred). The yardstick is
reading the same columns of the index and nothing else.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from image_assets.core.dataset_statistics import DatasetStatistics
from image_assets.core.index import INDEX_SCHEMA, IndexHead
from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest, what_rows_say
from image_assets.core.sharding import shard_names
from image_assets.pipeline.report.building import write_report
from image_assets.pipeline.report.rows import IMAGE_COLUMNS
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings, make_settings
from image_assets.storage.identity import open_store
from image_assets.storage.indexes import iter_index, newest_index_head, publish_index, staged_index
from image_assets.storage.manifests import commit_manifest, read_manifest
from image_assets.storage.perceptual import DuplicatesHead, publish_duplicates, staged_duplicates
from image_assets.storage.quality import (
    QUALITY_SCHEMA,
    QualityHead,
    QualityStatistics,
    publish_quality,
    staged_quality,
    write_statistics,
)
from image_assets.storage.store import Store

_PIECE_ROWS = 16_384
_SHARDS = 64


def main() -> None:
    """Make the dataset, then write its report in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=1_000)
    parser.add_argument("--photos", type=Path, default=Path("data/photos"))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        _measure(_settings(given.photos, given.folder), given.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(given.photos, Path(folder))
        _make(settings, given.images, given.labels)
        again = [sys.executable, "-m", __spec__.name, "--folder", folder, "--photos", str(given.photos)]
        subprocess.run(again, check=True)


def _settings(photos: Path, folder: Path) -> Settings:
    content = {
        "name": "many", "source": {"path": str(photos.resolve())}, "store": "store", "num_shards": _SHARDS,
        "features": {"extractor": "none"}, "exports": [], "duplicates": {"enabled": True}, "quality": {"enabled": True},
    }  # fmt: skip
    return make_settings(content, base=folder)


def _measure(settings: Settings, folder: Path) -> None:
    store = open_store(settings)
    head = newest_index_head(store)
    assert head is not None
    started_s, before_mb = _cpu_s(), _peak_mb()
    summary = write_report(settings, folder / "report.html")
    report_s, peak_mb = _cpu_s() - started_s, _peak_mb()
    started_s = _cpu_s()
    for _ in iter_index(store, head.number, columns=IMAGE_COLUMNS):
        pass
    read_s = _cpu_s() - started_s
    print(
        f"{summary['images']} images: {report_s:.1f} s CPU, {report_s / read_s:.1f}x reading their rows, "
        f"peak {peak_mb:.0f} MB ({before_mb:.0f} before), {summary['pictures']} pictures, "
        f"{summary['size_bytes'] / 1e6:.2f} MB"
    )


def _make(settings: Settings, count: int, labels: int) -> None:
    """Publish an index of so many images, and what follows it."""
    run_dataset(settings)
    store = open_store(settings)
    before = newest_index_head(store)
    assert before is not None
    rows = pa.concat_tables(iter_index(store, before.number))
    commits = dict.fromkeys(shard_names(_SHARDS), 2)
    head = replace(before, number=before.number + 1, rows=count, digest="d" * 64, commits=commits)
    with staged_index(head, _index_rows(rows, count, labels)) as staged:
        publish_index(store, head.number, staged)
    for number, shard in enumerate(commits):
        _commit(store, shard, range(number * count // _SHARDS, (number + 1) * count // _SHARDS))
    same = {"index_number": head.number, "index_digest": head.digest, "rows": count}
    groups = DuplicatesHead(
        "m", 8, images=count, groups=count // 20, exact=count // 10, near=count // 10, flat=0, **same
    )
    with staged_duplicates(groups, _twins(count)) as staged:
        publish_duplicates(store, staged)
    _publish_quality(store, head, same, count)


def _index_rows(rows: pa.Table, count: int, labels: int) -> Iterator[pa.Table]:
    for numbers in _pieces(count):
        drawn = np.random.default_rng(numbers[0]).integers(0, labels, len(numbers))
        table = rows.take(pa.array(numbers % rows.num_rows))
        new = {
            "id": [_id(number) for number in numbers.tolist()],
            "key": [f"folder {number % 1000}/{number:09d}.jpg" for number in numbers.tolist()],
            "label": [f"label {label}" for label in drawn.tolist()],
        }
        for name, values in new.items():
            table = table.set_column(INDEX_SCHEMA.get_field_index(name), name, pa.array(values, pa.string()))
        yield table.cast(INDEX_SCHEMA)


def _commit(store: Store, shard: str, numbers: range) -> None:
    before = read_manifest(store, shard, 1)
    empty = {name: pa.nulls(len(numbers), MANIFEST_SCHEMA.field(name).type) for name in MANIFEST_SCHEMA.names}
    failed = pa.array([number % 100 == 0 for number in numbers])
    plain = {"bucket": 0, "version": "1", "size_bytes": 30_000, "variants": 1, "output_bytes": 15_000}
    for name, value in plain.items():
        empty[name] = pa.array(np.full(len(numbers), value) if name != "version" else ["1"] * len(numbers))
    empty["key"] = pa.array([f"folder {number % 1000}/{number:09d}.jpg" for number in numbers])
    empty["status"] = pa.array(["failed" if bad else "ok" for bad in failed.to_pylist()])
    empty["reason"] = pa.array(["truncated" if bad else None for bad in failed.to_pylist()], pa.string())
    rows = pa.table(empty).cast(MANIFEST_SCHEMA)
    commit_manifest(store, Manifest(replace(before.head, number=2, **what_rows_say(rows)), rows))


def _twins(count: int) -> Iterator[pa.Table]:
    for numbers in _pieces(count):
        in_group = numbers % 5 == 0
        groups = [_id(number // 20 * 20) for number in numbers.tolist()]
        kinds = np.where(numbers // 20 % 2, "exact", "near").tolist()
        yield pa.table(
            {
                "id": [_id(number) for number in numbers.tolist()],
                "group": pa.array(groups, pa.string(), mask=~in_group),
                "kind": pa.array(kinds, pa.string(), mask=~in_group),
                "distance_bits": pa.array(np.full(len(numbers), 3, np.uint8), mask=~in_group),
            }
        )


def _publish_quality(store: Store, head: IndexHead, same: dict[str, int | str], count: int) -> None:
    made = QualityHead(method="m", thresholds="t", recipe_id=head.recipe_id, exact_duplicates=0, **same)  # type: ignore[arg-type]
    with staged_quality(made, _quality_rows(count)) as staged:
        publish_quality(store, staged)
    whole = DatasetStatistics(images=count, measured=count, issues={"blurry": count // 10})
    write_statistics(store, QualityStatistics(made, whole, {}, whole))


def _quality_rows(count: int) -> Iterator[pa.Table]:
    for numbers in _pieces(count):
        columns = {
            field.name: pa.array(np.random.default_rng(numbers[0]).random(len(numbers)) * 99).cast(
                field.type, safe=False
            )
            for field in QUALITY_SCHEMA
            if field.name not in {"id", "issues"}
        }
        columns["id"] = pa.array([_id(number) for number in numbers.tolist()])
        columns["issues"] = pa.array([["blurry"] if number % 10 == 0 else [] for number in numbers.tolist()])
        yield pa.table({name: columns[name] for name in QUALITY_SCHEMA.names})


def _pieces(count: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    for first in range(0, count, _PIECE_ROWS):
        yield np.arange(first, min(first + _PIECE_ROWS, count))


def _id(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def _cpu_s() -> float:
    return time.process_time()


def _peak_mb() -> float:
    # What getrusage says would be that of the process which started this one, if that was larger.
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
