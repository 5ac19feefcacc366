"""A loop over the files with Pillow: JPEG files and a CSV."""

import csv
from pathlib import Path

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import prepare_file


def main(folder: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    with (output / "labels.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["key", "label", "sha256"])
        for path in sorted(folder.rglob("*.jpg")):
            row = prepare_file(str(path))
            target = output / row["key"]
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(row["jpeg"])
            writer.writerow([row["key"], row["label"], row["sha256"]])


if __name__ == "__main__":
    run_script(main)
