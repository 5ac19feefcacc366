"""Small datasets in Hugging Face layout made on the spot, and what a remux wrote, for its tests."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.pipeline.remux.options import RemuxOptions
from image_assets.pipeline.remux.running import RemuxReport, run_remux
from image_assets_tests.images import image_bytes

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    "note": {"dtype": "string", "_type": "Value"},
}
SCHEMA = pa.schema(
    [("image", IMAGE), ("label", pa.int64()), ("note", pa.string())],
    {"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


def image_rows(count: int, *, first: int = 0, bad: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Return rows of small images; those numbered in ``bad`` are cut short."""
    rows = []
    for number in range(first, first + count):
        data = image_bytes(number)
        data = data[: len(data) // 2] if number in bad else data
        row = {"image": {"bytes": data, "path": f"{number}.png"}, "label": number % 2, "note": f"n{number}"}
        rows.append(row)
    return rows


def write_parquet(path: Path, rows: list[dict[str, Any]], schema: pa.Schema = SCHEMA, **how: Any) -> Path:
    """Write one table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, **how)
    return path


def write_dataset(folder: Path, *, rows: int = 23, bad: tuple[int, ...] = ()) -> Path:
    """Write a dataset as ``push_to_hub`` does: two files of split train, one of split test."""
    half = rows // 2
    write_parquet(folder / "data" / "train-00000-of-00002.parquet", image_rows(half, bad=bad), row_group_size=5)
    write_parquet(folder / "data" / "train-00001-of-00002.parquet", image_rows(rows - half, first=half, bad=bad))
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", image_rows(4, first=1000))
    return folder


def remux(dataset: Path, out_dir: Path, **options: Any) -> RemuxReport:
    """Run a small remux in this process."""
    return run_remux(options_for(dataset, out_dir, **options), lambda done, total: None)


def options_for(dataset: Path, out_dir: Path, **options: Any) -> RemuxOptions:
    """Return the options of a small remux: three parts of 23 rows, no workers."""
    return RemuxOptions(str(dataset), out_dir, **{"rows_per_shard": 10, "num_workers": 0, "batch_size": 4, **options})


def written(out_dir: Path) -> dict[str, str]:
    """Return the hash of every file that a remux wrote."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out_dir.iterdir())}


def read_parts(out_dir: Path) -> list[dict[str, Any]]:
    """Return the rows of all parts in their order."""
    paths = sorted(path for path in out_dir.glob("*.parquet") if path.name != "quarantine.parquet")
    return [row for path in paths for row in pq.read_table(path).to_pylist()]
