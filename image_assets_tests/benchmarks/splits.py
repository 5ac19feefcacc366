"""What it costs to split a large dataset, and to split what came since.

    python -m image_assets_tests.benchmarks.splits --images 1000000 --new 1000

Index rows are made up: 1,000 labels of very different size, every fifth image in a group of duplicates. What is
measured is what an index build adds for splits once the groups are known: reading the rows, the notes in the store,
the arithmetic. The yardstick is reading the same columns of the same rows and nothing else.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from image_assets.core.duplicates import Groups, Images
from image_assets.core.index import INDEX_SCHEMA
from image_assets.pipeline.grouping import Grouped
from image_assets.pipeline.new_contents import Outputs
from image_assets.pipeline.splitting import split_outputs
from image_assets.settings import make_settings
from image_assets.storage.indexes import StagedRows, staged_rows
from image_assets.storage.store import Store

_PIECE_ROWS = 16_384
_LABELS = 1000
_READ = ["key", "variant", "sha256", "label", "taken_at", "camera_make", "camera_model", "extra"]


def main() -> None:
    """Measure the first split, then the one of what is new, in one process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=1_000)
    given = parser.parse_args()
    settings = make_settings(
        {"name": "many", "source": {"path": "raw"}, "store": "store", "splits": {"method": "fractions"}}, base=Path()
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for step, count in (("all of them", given.images), ("some new ones", given.images + given.new)):
            with staged_rows(_pieces(count)) as rows:
                read_s = _cpu_s(lambda rows=rows: _read(rows))
                grouped = _grouped(count)
                before_mb = _peak_mb()
                found = []
                split_s = _cpu_s(
                    lambda rows=rows, grouped=grouped, found=found: found.append(
                        split_outputs(settings, Outputs(store, "0" * 16, rows), grouped)
                    )
                )
            sizes = np.bincount(found[0].codes, minlength=3)
            print(
                f"{step:<14} {count:>9} images: {split_s:6.2f} s CPU, {split_s / read_s:4.1f}x reading their rows, "
                f"peak {_peak_mb():.0f} MB ({before_mb:.0f} before), train/val/test {sizes.tolist()}"
            )


def _pieces(count: int) -> Iterator[pa.Table]:
    for first in range(0, count, _PIECE_ROWS):
        numbers = range(first, min(first + _PIECE_ROWS, count))
        rng = np.random.default_rng(first)
        known = {
            "id": [f"{number * 2654435761 % 2**128:032x}" for number in numbers],
            "key": [f"{number % _LABELS}/{number}.jpg" for number in numbers],
            "label": [f"label {label}" for label in np.minimum(rng.geometric(0.005, len(numbers)), _LABELS)],
            "sha256": [f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}{0:032x}" for number in numbers],
        }
        columns = {name: known.get(name, [_BLANK[INDEX_SCHEMA.field(name).type]] * len(numbers)) for name in _NAMES}
        nothing = {name: [None] * len(numbers) for name in INDEX_SCHEMA.names if name not in columns}
        yield pa.table({name: {**columns, **nothing}[name] for name in INDEX_SCHEMA.names}, schema=INDEX_SCHEMA)


_NAMES = [field.name for field in INDEX_SCHEMA if not field.nullable or field.name == "label"]
_BLANK = {pa.string(): "", pa.int32(): 0, pa.uint16(): 0}


def _grouped(count: int) -> Grouped:
    ids = np.frombuffer(b"".join((n * 2654435761 % 2**128).to_bytes(16, "big") for n in range(count)), "S16")
    in_group = np.arange(count) % 5 == 0
    groups = np.where(in_group, ids[np.arange(count) // 20 * 20], ids[:1])
    nothing = np.zeros(count, bool)
    images = Images(ids, np.arange(count), np.zeros(count, np.uint64), nothing)
    return Grouped(images, Groups(in_group, groups, nothing, np.zeros(count, np.uint8)), 0)


def _read(rows: StagedRows) -> int:
    return sum(piece.num_rows for piece in rows(_READ))


def _cpu_s(work: object) -> float:
    started_at = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - started_at


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
