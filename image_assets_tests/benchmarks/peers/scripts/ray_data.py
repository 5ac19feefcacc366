"""Ray Data: ``read_binary_files``, ``map``, ``write_parquet`` on two CPUs."""

from pathlib import Path
from typing import Any

import ray

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import prepare


def main(folder: Path, output: Path) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False)
    photos = ray.data.read_binary_files(str(folder), include_paths=True, file_extensions=["jpg"])
    photos.map(_finish).write_parquet(str(output), mode="overwrite")
    ray.shutdown()


def _finish(row: dict[str, Any]) -> dict[str, Any]:
    return dict(prepare(row["path"], row["bytes"]))


if __name__ == "__main__":
    run_script(main)
