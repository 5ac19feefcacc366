"""A clock that goes backwards, between runs and during one: what is newer is told by numbers, never by time."""

import datetime as datetime_module
import os
import sys
import time

import pytest

from image_assets.core.sharding import shard_names
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.snapshots import list_snapshots
from image_assets.storage import layout
from image_assets.storage.manifests import read_manifest_head
from image_assets.storage.store import Store
from image_assets_tests.faults.histories import OPTIONS
from image_assets_tests.faults.judging import assert_equals_scratch
from image_assets_tests.images import make_settings_for, write_image, write_images

DAY_S = 86_400.0


class Clock:
    """The system's clock with an offset, which may shrink with every look at it."""

    def __init__(self, monkeypatch):
        self.offset_s = self.step_s = 0.0
        real_time = time.time

        def now_s():
            self.offset_s -= self.step_s
            return real_time() + self.offset_s

        class Datetime(datetime_module.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls.fromtimestamp(now_s(), tz)

        monkeypatch.setattr(time, "time", now_s)
        # Modules hold the class by its own name.
        for name, module in sorted(sys.modules.items()):
            if name.startswith("image_assets.") and getattr(module, "datetime", None) is datetime_module.datetime:
                monkeypatch.setattr(module, "datetime", Datetime)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def commits_of(settings):
    """Every commit of every shard, in the order of the numbers."""
    store = Store(settings.store)
    found = {}
    for shard in shard_names(settings.num_shards):
        numbers = sorted(layout.number_of(file.path) for file in store.list(layout.manifests_of(shard)))
        found[shard] = [read_manifest_head(store, shard, number) for number in numbers]
    return found


def age(folder, days):
    """Give every file and folder a time further in the past."""
    for path in [folder, *folder.rglob("*")]:
        stamp = path.stat().st_mtime - days * DAY_S
        os.utime(path, (stamp, stamp))


@pytest.mark.parametrize("during", [False, True], ids=["between runs", "during runs"])
def test_a_clock_that_goes_backwards_changes_nothing(during, clock, tmp_path):
    write_images(tmp_path / "raw", 12)
    settings = make_settings_for(tmp_path, **OPTIONS)
    for turn in range(3):
        if turn:
            write_image(tmp_path / "raw", "a/0.jpg", 100 + turn)
            write_image(tmp_path / "raw", f"b/new-{turn}.jpg", 200 + turn)
            (tmp_path / "raw" / ("b/1.jpg" if turn == 1 else "b/3.jpg")).unlink()
            # The files of this turn are older than those of the last one, too.
            age(tmp_path / "raw", turn)
        clock.offset_s = -turn * DAY_S
        clock.step_s = 60.0 if during else 0.0
        report = run_dataset(settings)
        assert report.index.published
        assert all(shard.unchanged for shard in run_dataset(settings).shards)
    clock.step_s = clock.offset_s = 0.0
    scratch = make_settings_for(tmp_path, store="scratch", **OPTIONS)
    run_dataset(scratch)
    assert_equals_scratch(settings, scratch)
    snapshots = list_snapshots(Store(settings.store))
    assert [head.number for head in snapshots] == [1, 2, 3]
    made = [head.created_at for head in snapshots]
    assert made == sorted(made, reverse=True), "the clock did not go backwards"
    for heads in commits_of(settings).values():
        assert [head.number for head in heads] == list(range(1, len(heads) + 1))
        assert [head.after_index for head in heads] == sorted(head.after_index for head in heads)
