"""img2dataset: file URLs, centre crop, WebDataset shards.

File URLs spare it an HTTP server, whose CPU time would be charged to it.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from img2dataset import download

from image_assets_tests.benchmarks.peers.scripts.job import QUALITY, SIDE_PX, count_images, run_script

SHARD_IMAGES = 250


def main(folder: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    urls = output.parent / "urls.parquet"
    paths = sorted(folder.rglob("*.jpg"))
    table = {"url": [path.as_uri() for path in paths], "label": [path.parent.name for path in paths]}
    pq.write_table(pa.table(table), urls)
    before = _shards(output)
    download(
        url_list=str(urls),
        input_format="parquet",
        caption_col="label",
        output_folder=str(output),
        output_format="webdataset",
        resize_mode="center_crop",
        image_size=SIDE_PX,
        encode_quality=QUALITY,
        number_sample_per_shard=SHARD_IMAGES,
        processes_count=2,
        thread_count=2,
    )
    count_images(sum(json.loads(shard.read_text())["count"] for shard in _shards(output) - before))


def _shards(output: Path) -> set[Path]:
    """Return the reports of the shards that are done; it never does a shard twice."""
    return set(output.glob("*_stats.json"))


if __name__ == "__main__":
    run_script(main)
