"""Hugging Face datasets: ``imagefolder``, ``map`` in two processes, ``save_to_disk``."""

from pathlib import Path
from typing import Any

from datasets import Image, load_dataset

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import prepare_file


def main(folder: Path, output: Path) -> None:
    photos = load_dataset("imagefolder", data_dir=str(folder), split="train")
    # Not decoded by datasets: the hash wants the raw bytes.
    photos = photos.cast_column("image", Image(decode=False))
    photos.map(_finish, num_proc=2).save_to_disk(str(output))


def _finish(example: dict[str, Any]) -> dict[str, Any]:
    row = prepare_file(example["image"]["path"])
    image = {"path": row["key"], "bytes": row["jpeg"]}
    return {"image": image, "key": row["key"], "sha256": row["sha256"]}


if __name__ == "__main__":
    run_script(main)
