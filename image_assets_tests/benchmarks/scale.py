"""Every step of a dataset of millions of images, simulated: ``python -m image_assets_tests.benchmarks.scale``.

What is simulated, and what the numbers mean, stands in ``data/SCALE.md``. Each step is a process of its own.
"""

import argparse
import os
import shutil
from pathlib import Path

from image_assets_tests.benchmarks.files import CACHE
from image_assets_tests.benchmarks.processes import measure_module
from image_assets_tests.benchmarks.scale_store import simulated_settings

# A step, and how many images have changed since the last commits.
STEPS = (
    ("nothing", 0),
    ("list", 0),
    ("make", 0),
    ("detect", 0),
    ("detect", 1000),
    ("plan", 0),
    ("plan", 1000),
    ("commit", 1),
    ("index", 0),
    ("touch:1", 0),
    ("index", 0),
    ("status", 0),
    ("open", 0),
    ("read", 0),
    ("forget", 0),
    ("gc", 0),
    ("vacuum", 0),
    ("touch:16", 0),
    ("index", 0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--shards", type=int, default=4096)
    parser.add_argument("--segment-rows", type=int, default=256, help="images a segment; a first run makes up to 256")
    parser.add_argument("--only", nargs="+", help="these steps alone, on a store that is there; then it stays")
    parser.add_argument("--keep", action="store_true", help="do not remove the store at the end")
    options = parser.parse_args()
    for count in options.images:
        store = CACHE / f"scale-{count}-{options.shards}"
        print(f"\n{count:,} images in {options.shards} shards", flush=True)
        if not options.only:
            shutil.rmtree(store, ignore_errors=True)
        try:
            for step, changed in STEPS:
                if not options.only or step in options.only:
                    number = f":{options.segment_rows}" if step == "make" else ""
                    _measure(step + number, store, (count, changed, options.shards))
        finally:
            if not options.only and not options.keep:
                shutil.rmtree(store, ignore_errors=True)


def _measure(step: str, store: Path, numbers: tuple[int, int, int]) -> None:
    """Take one step in a process of its own and print what it cost."""
    settings = simulated_settings(store, *numbers)
    said = measure_module("image_assets_tests.benchmarks.scale_step", step, settings.model_dump_json()).printed
    name = f"{step}, {numbers[1]} changed" if numbers[1] else step
    peak, rss = said["anonymous_bytes"] / 2**20, said["rss_bytes"] / 2**20
    times = f"{said['seconds']:>9.2f} s  cpu {said['cpu_s']:>9.2f} s"
    asked = " ".join(f"{count} {kind}" for kind, count in sorted(said["asked"].items())) or "no request"
    print(f"{name:<22}{times}  peak {peak:>6.0f} MiB  rss {rss:>6.0f} MiB  {said['what']}; {asked}", flush=True)


if __name__ == "__main__":
    # What a step leaves in memory to be used again is no measure of what it needs.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    CACHE.mkdir(exist_ok=True)
    main()
