"""The main job against yardsticks of the same run: ``python -m image_assets_tests.benchmarks.main_job``."""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from operator import itemgetter
from pathlib import Path

from PIL import Image

from image_assets_tests.benchmarks.files import SAMPLE_PHOTOS, imagenet_like, many_small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=SAMPLE_PHOTOS, help="photographs to cut the files from")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--small", type=int, default=100_000, help="files of the unchanged re-run; 0: leave it out")
    parser.add_argument("--repeat", type=int, default=5, help="the best of so many is reported")
    options = parser.parse_args()
    _cold(imagenet_like(options.images, options.photos), options.repeat)
    if options.small:
        _unchanged(many_small(options.small), options.repeat)


def _cold(folder: Path, repeat: int) -> None:
    """Compare with bare decoding.

    Start-up is a run over eight images, so that both workers start: interpreters, imports, 16 commits, an index.
    """
    paths = sorted(folder.rglob("*.jpg"))
    bare, full, start_up = [], [], []
    for _ in range(repeat):  # in turns, so that whatever else the machine does hits all three
        bare.append(_bare_decoding(paths))
        full.append(_cold_run(folder))
        with tempfile.TemporaryDirectory() as few:
            for path in paths[:8]:
                shutil.copy(path, few)
            start_up.append(_cold_run(Path(few))[0])
    (wall_s, summary), bare_s, start_up_s = min(full, key=itemgetter(0)), min(bare), min(start_up)
    assert summary["images_processed"] == len(paths)
    print(f"\n{len(paths)} JPEGs, {sum(path.stat().st_size for path in paths) / len(paths) / 1e3:.0f} kB each")
    _line("bare Pillow decoding, 2 processes already there", bare_s, "s", f"{len(paths) / bare_s:.0f} images/s")
    _line("image-assets run, 2 workers, no features", wall_s, "s", "with start-up")
    _line("the same over eight images", start_up_s, "s", "start-up; target < 2 s")
    _line("ratio without start-up", (wall_s - start_up_s) / bare_s, "x", "target <= 2.0")
    _line("peak memory of all processes", summary["peak_memory_bytes"] / 1e6, "MB", "target < 500 MB")


def _unchanged(folder: Path, repeat: int) -> None:
    """Compare with a bare walk. Start-up is an unchanged run over one image."""
    walk, again, start_up = [], [], []
    with tempfile.TemporaryDirectory() as store, tempfile.TemporaryDirectory() as one:
        Image.new("RGB", (32, 32)).save(f"{one}/one.jpg")
        cold_s, cold = _run(folder, store)
        _run(Path(one), f"{one}/store")
        for _ in range(repeat):
            walk.append(_walk(folder))
            again.append(_run(folder, store))
            start_up.append(_run(Path(one), f"{one}/store")[0])
    (again_s, summary), walk_s, start_up_s = min(again, key=itemgetter(0)), min(walk), min(start_up)
    assert (summary["kept"], summary["decoded"]) == (cold["images_processed"], 0)
    print(f"\n{cold['images_processed']} small JPEGs")
    _line("cold run, 2 workers, no features", cold_s, "s", f"peak {cold['peak_memory_bytes'] / 1e6:.0f} MB")
    _line("bare scandir + stat", walk_s, "s", "")
    _line("unchanged re-run", again_s, "s", f"peak {summary['peak_memory_bytes'] / 1e6:.0f} MB")
    _line("unchanged run over one image", start_up_s, "s", "start-up; target < 2 s")
    _line("ratio without start-up", (again_s - start_up_s) / walk_s, "x", "target < 3.0")


def _cold_run(folder: Path) -> tuple[float, dict[str, float]]:
    with tempfile.TemporaryDirectory() as store:
        return _run(folder, store)


def _run(folder: Path, store: str) -> tuple[float, dict[str, float]]:
    command = [sys.executable, "-m", "image_assets", "run", "--input", str(folder), "--store", store, "--json",
               "--workers", "2", "--features", "none"]  # fmt: skip
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
