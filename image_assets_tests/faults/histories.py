"""What a store was and what its source became: the situations in which runs are killed and disks run full."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_assets.core.sharding import shard_names
from image_assets.pipeline.detect import committed_heads
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings
from image_assets.storage.store import Store
from image_assets_tests.faults.jobs import Job
from image_assets_tests.faults.shim import Point
from image_assets_tests.faults.zygote import Zygote
from image_assets_tests.images import image_bytes, make_settings_for, write_image, write_images

OPTIONS: dict[str, Any] = {"features": {"extractor": "colour-moments"}, "exports": ["csv", "json"]}
IMAGES = 11


@dataclass(frozen=True, slots=True)
class History:
    """A store before a run, and what an undisturbed run makes of it.

    ``points`` are the moments of the run at which something in the store changes; ``segment_images`` is how many
    images go into one segment at most.
    """

    folder: Path
    options: dict[str, Any]
    scratch: Settings
    points: tuple[Point, ...]
    decoded: int
    segment_images: int

    def settings(self, folder: Path) -> Settings:
        """Return settings for a fresh copy of the store, made in a folder that does not exist."""
        folder.mkdir(parents=True)
        before = self.folder / "before"
        if before.exists():
            shutil.copytree(before, folder / "store")
        return make_settings_for(self.folder, store=str(folder / "store"), **self.options)


def make_history(folder: Path, name: str, zygote: Zygote) -> History:
    """Make a source and a store, change the source or the settings, and count what a run does about it."""
    raw = folder / "raw"
    write_images(raw, IMAGES)
    (raw / "a/copy.jpg").write_bytes(image_bytes(0))
    (raw / "b/corrupt.jpg").write_bytes(image_bytes(50)[:200])
    options = dict(OPTIONS)
    if name != "first run":
        run_dataset(make_settings_for(folder, store=str(folder / "before"), **options))
        options |= CHANGES[name](raw)
    scratch = make_settings_for(folder, store=str(folder / "scratch"), **options)
    run_dataset(scratch)
    heads = committed_heads(Store(scratch.store), shard_names(scratch.num_shards))
    # Shards are this small that each is one task, and so one segment.
    history = History(folder, options, scratch, (), 0, max(head.images for head in heads.values()))
    counted = zygote.run(Job(history.settings(folder / "counting"), folder / "counting/child", watch=True))[0]
    assert counted.error is None, counted.traceback
    return History(folder, options, scratch, counted.points, counted.decoded, history.segment_images)


def _nothing(_: Path) -> dict[str, Any]:
    return {}


def _edits(raw: Path) -> dict[str, Any]:
    write_image(raw, "a/2.jpg", 102)
    write_image(raw, "b/new.jpg", 103)
    (raw / "b/3.jpg").rename(raw / "a/renamed.jpg")
    (raw / "a/4.jpg").unlink()
    return {}


def _new_recipe(_: Path) -> dict[str, Any]:
    return {"output": {"format": "jpeg", "quality": 80}}


def _new_shards(_: Path) -> dict[str, Any]:
    return {"num_shards": 3}


CHANGES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "first run": _nothing,
    "edits": _edits,
    "new recipe": _new_recipe,
    "new number of shards": _new_shards,
}
