"""What contact sheets cost: CPU seconds of a run and of a quiet one, and what each adds to Dagster's database.

Run it with ``python -m image_assets_tests.benchmarks.sheets``; it takes a minute and 100 MB of disk.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from PIL import Image

from image_assets.core.sharding import shard_names
from image_assets.defs.dataset import dataset_definitions
from image_assets.settings import make_settings

_PHOTOS = Path(__file__).parents[2] / "data/photos"
_SHARDS = 64
_TURNS = 32


def main(thumbnails: Sequence[int] = (24, 16, 0)) -> None:
    """Print a line for each number of thumbnails a shard and each run."""
    with tempfile.TemporaryDirectory() as folder:
        _write_photographs(Path(folder) / "raw")
        for count in thumbnails:
            _measure(Path(folder), count)


def _write_photographs(raw: Path) -> None:
    """Write each sample photograph turned by 0 to 31 degrees."""
    for path in sorted(_PHOTOS.rglob("*.jpg")):
        (raw / path.parent.name).mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            for turn in range(_TURNS):
                small = image.rotate(turn).resize((320, 240))
                small.save(raw / path.parent.name / f"{path.stem}-{turn}.jpg", quality=80)


def _measure(folder: Path, count: int) -> None:
    home = folder / f"dagster-{count}"
    home.mkdir()
    content = {
        "name": "sheets",
        "source": {"path": "raw"},
        "store": f"store-{count}",
        "num_shards": _SHARDS,
        "features": {"extractor": "none"},
        "exports": [],
        "workers": 0,
        "contact_sheets": {"shard_images": count, "index_images": 96 if count else 0},
    }
    own = dg.Definitions(executor=dg.in_process_executor)
    defs = dg.Definitions.merge(own, dataset_definitions(make_settings(content, base=folder)))
    shards = shard_names(_SHARDS)
    tags = {"dagster/asset_partition_range_start": shards[0], "dagster/asset_partition_range_end": shards[-1]}
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        for run in ("all", "quiet"):
            cpu_s, before = time.process_time(), _size_bytes(home)
            assert defs.resolve_job_def("sheets_update").execute_in_process(instance=instance, tags=tags).success
            cpu_s, more = time.process_time() - cpu_s, _size_bytes(home) - before
            print(f"{count:2} thumbnails, {run:5}: {cpu_s:5.1f} s CPU, {more / 1024 / _SHARDS:5.0f} KiB a shard")


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
