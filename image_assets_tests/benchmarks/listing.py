"""Listing, comparing and planning many images: ``python -m image_assets_tests.benchmarks.listing``.

With ``--s3`` they are listed from a server of this machine that speaks S3; its processor time and memory are not
counted. The yardsticks list the same objects and keep nothing.
"""

import argparse
import json
import os
from pathlib import Path

from image_assets_tests.benchmarks.files import CACHE
from image_assets_tests.benchmarks.inventories import KIND, empty_files, inventory_settings, make_store
from image_assets_tests.benchmarks.processes import measure_module
from image_assets_tests.benchmarks.s3_stand_in import PREFIX, bucket_name, stand_in

STEPS = ("nothing", "list", "fingerprints", "detect", "plan", "unchanged")
S3_YARDSTICKS = ("obstore", "boto3")
S3_STEPS = ("nothing", "list", "slices", "detect", "plan", "unchanged")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--changed", type=int, default=1000, help="images of another version than the last commits")
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--folder", action="store_true", help="also list as many empty files of a local folder")
    parser.add_argument("--s3", action="store_true", help="list as many objects of a bucket in place of an inventory")
    parser.add_argument("--delay-ms", type=int, nargs="+", default=[0, 50], help="how late the bucket's answers come")
    options = parser.parse_args()
    for count in options.images:
        store = CACHE / f"objects-{count}-{options.shards}"
        if not store.exists():
            make_store(store, count, options.shards)
        print(f"\n{count} images in {options.shards} shards, {options.changed} of them changed")
        if options.s3:
            _measure_s3(store, count, options)
            continue
        for step in STEPS:
            changed = 0 if step == "unchanged" else options.changed
            source = {"kind": KIND, "path": f"{count}:{changed}"}
            _measure(step, inventory_settings(store, source, options.shards).model_dump_json())
        if options.folder:
            folder = empty_files(CACHE / f"empty-{count}", count)
            _measure("folder", json.dumps({"path": str(folder), "flat": False}))
            flat = empty_files(CACHE / f"empty-flat-{count}", count, folders=1)
            _measure("folder", json.dumps({"path": str(flat), "flat": True}))


def _measure_s3(store: Path, count: int, options: argparse.Namespace) -> None:
    # Anything does for credentials, and none must be looked for.
    os.environ |= {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "something", "AWS_REGION": "us-east-1"}
    with stand_in() as server:
        for delay_ms in options.delay_ms:
            print(f"each answer {delay_ms} ms late")
            for step in (*S3_YARDSTICKS, *S3_STEPS):
                changed = 0 if step == "unchanged" else options.changed
                url = server.url(bucket_name(count, changed, delay_ms), PREFIX)
                _measure(step, inventory_settings(store, {"path": url}, options.shards).model_dump_json())


def _measure(step: str, content: str) -> None:
    """Do one step in a process of its own and print what it cost."""
    found = measure_module("image_assets_tests.benchmarks.listing_step", step, content)
    said = found.printed
    peaks = "  ".join(f"{name} {said[f'{name}_bytes'] / 2**20:>6.0f} MiB" for name in ("pss", "uss", "anonymous"))
    print(f"{step:<14}{said['seconds']:>8.2f} s  cpu {said['cpu_s']:>7.2f} s  peak {peaks}  {said['what']}", flush=True)


if __name__ == "__main__":
    # What a step leaves in memory to be used again is no measure of what it needs.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    Path(CACHE).mkdir(exist_ok=True)
    main()
