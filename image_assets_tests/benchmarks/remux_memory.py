"""Memory of a remux beside the forum's answers: ``python -m image_assets_tests.benchmarks.remux_memory``.

The inputs are single Parquet files as pyarrow writes them when asked for nothing: one row group, Snappy, a dictionary
and pages of 1,024 photographs. Memory is that of all processes together, a shared page counted once, looked at from
outside five times a second.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from image_assets_tests.benchmarks.files import CACHE, SAMPLE_PHOTOS, imagenet_like
from image_assets_tests.benchmarks.peers.environments import installed_version, make_environment, variables

SIZES_GB = (0.6, 1.2, 2.4)
PEERS = {
    "load_dataset(streaming=True) + ParquetWriter": "streaming",
    "Dataset.map + to_parquet, num_proc=2": "mapping",
}
_METADATA = {
    "huggingface": '{"info": {"features": {"image": {"_type": "Image"}, '
    '"label": {"names": ["even", "odd"], "_type": "ClassLabel"}}}}'
}
_SCHEMA = pa.schema(
    [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())], _METADATA
)
_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took; memory of all its processes together at the worst moment."""

    peak_bytes: int
    wall_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=SAMPLE_PHOTOS, help="photographs to cut the images from")
    parser.add_argument("--sizes", type=float, nargs="+", default=SIZES_GB, metavar="GB")
    parser.add_argument("--row-groups", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-peers", action="store_true", help="leave out the forum's answers")
    options = parser.parse_args()
    python = None if options.no_peers else make_environment("huggingface-remux", ["datasets", "pillow"])
    if python is not None:
        print(f"datasets {installed_version(python, 'datasets')}")
    peaks = []
    for size_gb in options.sizes:
        with tempfile.TemporaryDirectory(dir=_folder()) as folder:
            source = Path(folder) / "input.parquet"
            rows = write_table(source, size_gb, options.photos, row_groups=options.row_groups)
            print(f"\n{source.stat().st_size / 1e9:.2f} GB, {rows} rows, {options.row_groups} row group(s)", flush=True)
            peaks.append(_ours(source, Path(folder), options.workers))
            for what, script in PEERS.items() if python is not None else ():
                _peer(python, script, what, source)
    spread = max(peaks) / min(peaks) - 1
    print(f"\nremux: {max(peaks) / 1e6:.0f} MB at most (target < 300), {spread:.1%} apart (target < 5 %)")


def write_table(path: Path, size_gb: float, photos: Path, *, row_groups: int) -> int:
    """Write a table of about so many gigabytes of photographs and return its number of rows; no two are equal."""
    originals = [file.read_bytes() for file in sorted(imagenet_like(1000, photos).rglob("*.jpg"))]
    mean = sum(map(len, originals)) / len(originals)
    rows = round(size_gb * 1e9 / mean)
    group_rows = -(-rows // row_groups)
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        for first in range(0, rows, group_rows):
            table = pa.Table.from_batches(_batches(originals, first, min(first + group_rows, rows)), _SCHEMA)
            writer.write_table(table, row_group_size=group_rows)
    return rows


def measure(command: Sequence[str], environment: dict[str, str] | None = None) -> Cost:
    """Return what a command cost.

    Raises:
        CalledProcessError: it ended with another code than 0.
    """
    started_at, peak_bytes = time.perf_counter(), 0
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        process = psutil.Process(child.pid)
        while child.poll() is None:
            peak_bytes = max(peak_bytes, _held_bytes(process))
            time.sleep(_INTERVAL_S)
        if child.returncode:
            output.seek(0)
            raise subprocess.CalledProcessError(child.returncode, command, output.read())
    return Cost(peak_bytes, time.perf_counter() - started_at)


def _ours(source: Path, folder: Path, workers: int) -> int:
    command = [sys.executable, "-m", "image_assets", "remux", "--dataset", str(source), "--json"]
    cost = measure([*command, "--out-dir", str(folder / "out"), "--num-workers", str(workers)])
    shutil.rmtree(folder / "out")
    _print(f"image-assets remux, {workers} workers", cost)
    return cost.peak_bytes


def _peer(python: Path, script: str, what: str, source: Path) -> None:
    with tempfile.TemporaryDirectory(dir=_folder()) as scratch:
        for name in ("out", "temp", "cache"):
            (Path(scratch) / name).mkdir()
        module = f"image_assets_tests.benchmarks.remux_peers.{script}"
        command = [str(python), "-m", module, str(source), f"{scratch}/out"]
        try:
            cost = measure(command, variables(python, Path(scratch, "temp"), Path(scratch, "cache")))
        except subprocess.CalledProcessError as error:
            print(f"{what:<52} failed: {error.output.decode(errors='replace').splitlines()[-1]}", flush=True)
            return
        written = sum(pq.read_metadata(part).num_rows for part in Path(scratch, "out").iterdir())
        assert written == pq.read_metadata(source).num_rows
        _print(what, cost)


def _print(what: str, cost: Cost) -> None:
    print(f"{what:<52}{cost.peak_bytes / 1e6:>8.0f} MB {cost.wall_s:>8.1f} s", flush=True)


def _batches(originals: Sequence[bytes], start: int, end: int) -> Iterator[pa.RecordBatch]:
    for first in range(start, end, 256):
        numbers = range(first, min(first + 256, end))
        images = [{"bytes": _numbered(originals[at % len(originals)], at), "path": f"{at}.jpg"} for at in numbers]
        yield pa.RecordBatch.from_pydict({"image": images, "label": [at % 2 for at in numbers]}, schema=_SCHEMA)


def _numbered(jpeg: bytes, number: int) -> bytes:
    """Return the image with a comment of its own, so that its bytes are."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + jpeg[2:]


def _held_bytes(process: psutil.Process) -> int:
    total = 0
    with suppress(psutil.Error):
        for member in [process, *process.children(recursive=True)]:
            # A worker may end between being named and being measured.
            with suppress(psutil.Error):
                info = member.memory_full_info()
                total += getattr(info, "pss", info.rss)
    return total


def _folder() -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    return Path(os.fspath(CACHE))


if __name__ == "__main__":
    main()
