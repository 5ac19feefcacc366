"""``Dataset.map`` over the whole split and ``to_parquet`` of what it made: ``mapping.py INPUT FOLDER``."""

import sys
from pathlib import Path

from datasets import load_dataset

from image_assets_tests.benchmarks.remux_peers.picture import prepare_batch


def main(source: str, target: str) -> None:
    rows = load_dataset("parquet", data_files=source, split="train")
    made = rows.map(prepare_batch, batched=True, batch_size=32, with_indices=True, num_proc=2)
    made.to_parquet(Path(target) / "part-00000.parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
