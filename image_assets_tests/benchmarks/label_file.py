"""What a large label file takes: read, and joined to a listing of as many images, a piece at a time.

    python -m image_assets_tests.benchmarks.label_file --rows 2000000

The keys of the listing are made up as they are asked for, so that what is measured are the labels.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from image_assets.core.listing import Listing
from image_assets.core.sharding import NUM_BUCKETS
from image_assets.pipeline.labels import label_listing
from image_assets.settings.sources import LabelSettings
from image_assets_tests.benchmarks.processes import measure_module

_MODULE = "image_assets_tests.benchmarks.label_file"


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--extra", action="store_true")
    given = parser.parse_args()
    if given.file is not None:
        print(json.dumps(_join(given.file, given.rows, ("caption", "licence") if given.extra else ())))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.csv")
        with path.open("w") as file:
            file.write("filename,label,caption,licence\n")
            for number in range(given.rows):
                caption = f"A caption of image {number}, some sixty characters long, as they are"
                file.write(f'{_key(number)},class {number % 1000},"{caption}",CC-BY-4.0\n')
        print(f"{given.rows} rows, {path.stat().st_size / 1e6:.0f} MB")
        for more in ([], ["--extra"]):
            said = measure_module(_MODULE, "--rows", str(given.rows), "--file", str(path), *more).printed
            print(" ".join([*(more or ["labels"]), *(f"{name}={value}" for name, value in said.items())]))


@dataclass(frozen=True, slots=True)
class _MadeUp:
    """Rows of a listing that are made when they are asked for."""

    num_rows: int

    def between(self, first: int, end: int) -> pa.Table:
        numbers = range(first * self.num_rows // NUM_BUCKETS, end * self.num_rows // NUM_BUCKETS)
        none = pa.nulls(len(numbers), pa.string())
        return pa.table({"key": pa.array(map(_key, numbers), pa.string()), "label": none, "extra": none})


def _key(number: int) -> str:
    return f"train/class_{number % 1000:04d}/image_{number:08d}.jpg"


def _join(path: Path, rows: int, extra: tuple[str, ...]) -> dict[str, float]:
    settings = LabelSettings(kind="file", path=str(path), extra_columns=extra)
    before, cpu = _memory_mb(), time.process_time()
    listing = label_listing(Listing(_MadeUp(rows)), settings)
    read, read_cpu = _memory_mb(), time.process_time() - cpu
    labelled = sum(piece.num_rows - piece["label"].null_count for piece in listing.pieces())
    after = _memory_mb()
    return {
        "labelled": labelled,
        "read_cpu_s": round(read_cpu, 1),
        "join_cpu_s": round(time.process_time() - cpu - read_cpu, 1),
        "before_mb": before["VmRSS"],
        "peak_mb": after["VmHWM"],
        "held_mb": read["RssAnon"] - before["RssAnon"],
        "mapped_mb": after["RssFile"] - before["RssFile"],
    }


def _memory_mb() -> dict[str, int]:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM", "RssAnon", "RssFile")}


if __name__ == "__main__":
    main()
