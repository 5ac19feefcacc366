"""The yardstick: two processes decode every file with Pillow and keep nothing."""

import multiprocessing
from pathlib import Path

from PIL import Image

from image_assets_tests.benchmarks.peers.scripts.job import run_script


def main(folder: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for _ in pool.imap_unordered(_decode, sorted(folder.rglob("*.jpg")), chunksize=32):
            pass


def _decode(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


if __name__ == "__main__":
    run_script(main)
