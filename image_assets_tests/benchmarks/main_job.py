"""The main job against yardsticks of the same run: ``python -m image_assets_tests.benchmarks.main_job``."""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from image_assets_tests.benchmarks.files import SAMPLE_PHOTOS, imagenet_like, many_small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=SAMPLE_PHOTOS, help="photographs to cut the files from")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--small", type=int, default=100_000, help="files of the unchanged re-run; 0: leave it out")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many is reported")
    options = parser.parse_args()
    start_up_s = min(_start_up() for _ in range(options.repeat))
    _line("start-up of `image-assets run` (one image, unchanged)", start_up_s, "s", "target < 2 s")
    _cold(imagenet_like(options.images, options.photos), start_up_s, options.repeat)
    if options.small:
        _unchanged(many_small(options.small), start_up_s, options.repeat)


def _cold(folder: Path, start_up_s: float, repeat: int) -> None:
    paths = sorted(folder.rglob("*.jpg"))
    bare_s = min(_bare_decoding(paths) for _ in range(repeat))
    runs = []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as store:
            runs.append(_run(folder, store, "--features", "none"))
    wall_s, summary = min(runs, key=lambda item: item[0])
    print(f"\n{len(paths)} JPEGs, {sum(path.stat().st_size for path in paths) / len(paths) / 1e3:.0f} kB each")
    _line("bare Pillow decoding in 2 processes", bare_s, "s", f"{len(paths) / bare_s:.0f} images/s")
    _line("image-assets run, 2 workers, no features", wall_s, "s", f"{len(paths) / wall_s:.0f} images/s with start-up")
    _line("ratio without start-up", (wall_s - start_up_s) / bare_s, "x", "target <= 2.0")
    _line("its own clock (worker start-up inside) / bare", summary["processing_time_sec"] / bare_s, "x", "")
    _line("peak memory of all processes", summary["peak_memory_bytes"] / 2**20, "MiB", "target < 477 (500 MB)")
    assert summary["images_processed"] == len(paths)


def _unchanged(folder: Path, start_up_s: float, repeat: int) -> None:
    walk_s = min(_walk(folder) for _ in range(repeat))
    with tempfile.TemporaryDirectory() as store:
        cold_s, cold = _run(folder, store, "--features", "none")
        again_s, again = min((_run(folder, store, "--features", "none") for _ in range(repeat)), key=lambda item: item[0])
    count = cold["images_processed"]
    print(f"\n{count} small JPEGs")
    _line("cold run", cold_s, "s", f"peak {cold['peak_memory_bytes'] / 2**20:.0f} MiB")
    _line("bare scandir + stat", walk_s, "s", "")
    _line("unchanged re-run", again_s, "s", f"peak {again['peak_memory_bytes'] / 2**20:.0f} MiB")
    _line("ratio without start-up", (again_s - start_up_s) / walk_s, "x", "target < 3.0")
    assert (again["kept"], again["decoded"]) == (count, 0)


def _start_up() -> float:
    """Return the wall time of a run that has one image and nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        raw.mkdir()
        Image.new("RGB", (32, 32)).save(raw / "one.jpg")
        _run(raw, f"{folder}/store", "--features", "none")
        return _run(raw, f"{folder}/store", "--features", "none")[0]


def _run(folder: Path, store: str, *options: str) -> tuple[float, dict[str, float]]:
    command = [sys.executable, "-m", "image_assets", "run", "--input", str(folder), "--store", store, "--json",
               "--workers", "2", *options]  # fmt: skip
    started_at = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - started_at, json.loads(done.stdout)


def _bare_decoding(paths: list[Path]) -> float:
    """Return the seconds in which two processes that are already there open and decode every file."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_decode, paths[:64], chunksize=32)
        started_at = time.perf_counter()
        pool.map(_decode, paths, chunksize=32)
        return time.perf_counter() - started_at


def _decode(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _walk(folder: Path) -> float:
    started_at = time.perf_counter()
    pending, found = [str(folder)], 0
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    entry.stat()
                    found += 1
    return time.perf_counter() - started_at


def _line(what: str, value: float, unit: str, note: str) -> None:
    print(f"{what:<52}{value:>9.2f} {unit:<4} {note}", flush=True)


if __name__ == "__main__":
    main()
