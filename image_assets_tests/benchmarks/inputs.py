"""What a process needs more while an asset streams an input of many rows: `-m image_assets_tests.benchmarks.inputs`.

Makes a store of rows without images below --folder (kept for the next time), and reads it as several kinds, each in a
process of its own. Needs polars for the kind that is its.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psutil
import pyarrow as pa

from image_assets.core.index import INDEX_SCHEMA, IndexHead
from image_assets.defs.io_manager import ImageAssetsIOManager
from image_assets.storage.indexes import latest_index, publish_index, staged_index
from image_assets.storage.store import Store
from image_assets.storage.vectors import CHUNK_ROWS, VectorHead, publish_vectors, staged_vectors
from image_assets_tests.benchmarks.peak import Peak
from image_assets_tests.benchmarks.processes import measure_module

DIM = 128
_PIECE_ROWS = 16_384
_KINDS = (
    ("training_index", "pyarrow.RecordBatchReader"),
    ("feature_vectors", "pyarrow.RecordBatchReader"),
    ("training_index", "polars.LazyFrame"),
)


def main() -> None:
    """Print what each kind needs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(_read(*arguments.read)))
        return
    store = Store(str(arguments.folder / f"inputs-{arguments.rows}"))
    if not latest_index(store):
        _make(store, arguments.rows)
    for name, word in _KINDS:
        measured = measure_module("image_assets_tests.benchmarks.inputs", "--read", store.url, name, word)
        print(f"{name} as {word}: {measured.printed}")


def _read(url: str, name: str, word: str) -> dict[str, float]:
    """Return the rows, and the megabytes and CPU seconds more, of an asset that goes through an input once."""

    @dg.asset(ins={"given": dg.AssetIn(["big", name], metadata={"as": word})})
    def rows(given: Any) -> dg.MaterializeResult:  # type: ignore[type-arg]
        count = (
            sum(batch.num_rows for batch in given)
            if word.startswith("pyarrow.")
            else given.group_by("label").len().collect()["len"].sum()
        )
        return dg.MaterializeResult(metadata={"count": int(count)})

    spec = dg.AssetSpec(["big", name]).with_io_manager_key("big")
    resources = {"big": ImageAssetsIOManager(store=url)}
    if word.startswith("polars."):
        import polars  # noqa: F401 - what it is itself is not counted
    with dg.instance_for_test() as instance:
        before, started = psutil.Process().memory_info().rss, time.process_time()
        with Peak(lambda process: {"rss": process.memory_info().rss}) as peak:
            result = dg.materialize([spec, rows], selection=[rows], instance=instance, resources=resources)
    count = result.asset_materializations_for_node("rows")[0].metadata["count"].value
    more_mb = (peak.bytes["rss"] - before) // 10**6
    return {"rows": count, "more_mb": more_mb, "cpu_s": round(time.process_time() - started, 1)}


def _make(store: Store, rows: int) -> None:
    head = IndexHead("big", 1, "d" * 64, rows, "0" * 16, 1, "2026-01-01", {"0-of-1": 1}, {"0-of-1": "state"})
    vectors = VectorHead("made-up", "0" * 64, DIM, 1, head.digest, rows)
    draws = np.random.default_rng(0)
    pieces = (
        (part, draws.random((part.num_rows, DIM), np.float32))
        for piece in _pieces(rows)
        for first in range(0, piece.num_rows, CHUNK_ROWS)
        for part in [piece.slice(first, CHUNK_ROWS)]
    )
    with staged_vectors(vectors, pieces) as staged:
        publish_vectors(store, staged)
    with staged_index(head, _pieces(rows)) as staged:
        publish_index(store, 1, staged)


def _pieces(rows: int) -> Iterator[pa.Table]:
    """Yield index rows whose texts are all different."""
    for first in range(0, rows, _PIECE_ROWS):
        numbers = range(first, min(rows, first + _PIECE_ROWS))
        hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]
        columns: dict[str, Any] = {
            "id": [sha256[:32] for sha256 in hashes],
            "key": [f"folder/{number:09d}.jpg" for number in numbers],
            "label": [f"label {number % 20}" for number in numbers],
            "format": ["jpeg"] * len(numbers),
            "segment": [hashes[0]] * len(numbers),
            "sha256": hashes,
            "output_sha256": hashes,
            "bucket": [number * 4096 // rows for number in numbers],
        }
        filled = [
            pa.array(columns.get(field.name) or _filling(field, len(numbers)), field.type) for field in INDEX_SCHEMA
        ]
        yield pa.table(filled, schema=INDEX_SCHEMA)


def _filling(field: pa.Field, rows: int) -> list[Any]:
    if pa.types.is_list(field.type):
        return [[]] * rows
    if field.nullable:
        return [None] * rows
    return ["x"] * rows if pa.types.is_string(field.type) else [0] * rows


if __name__ == "__main__":
    main()
