"""Law 1, by a model: after any sequence of changes the incremental dataset equals one made from scratch.

``LAW_ONE_SEQUENCES=10000 python -m pytest image_assets_tests/pipeline/test_law_one.py`` tries so many random sequences;
the suite tries the same few hundred each time.
"""

import csv
import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from image_assets.pipeline.detect import detect
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.previous import known_failures
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.storage.store import Store
from image_assets_tests.images import image_bytes, make_settings_for
from image_assets_tests.kills import KilledError, killed_at_write

NAMES = [f"{folder}/{number}.{suffix}" for folder in ("a", "b") for number in range(4) for suffix in ("jpg", "png")]
names = st.sampled_from(NAMES)
numbers = st.integers(0, 5)
RECIPES = [{"quality": 90}, {"quality": 80}]


class Dataset(RuleBasedStateMachine):
    """A folder, a dataset over it, and what is known to be true of both."""

    @initialize()
    def start(self):
        self.folder = Path(tempfile.mkdtemp(prefix="law-one-"))
        self.raw = self.folder / "raw"
        self.raw.mkdir()
        self.recipe, self.num_shards = 0, 4
        self.failing: set[tuple[str, int]] = set()  # (sha256, recipe) that the last commits know to fail
        self.last: dict[str, str] | None = {}
        self.last_recipe: int | None = None
        self.labels = dict.fromkeys(NAMES, "x")
        self.broken: dict[str, bytes] = {}
        self.write_labels()

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def path(self, name):
        path = self.raw / name
        path.parent.mkdir(exist_ok=True)
        return path

    def existing(self, name):
        """The given file, or the first there is."""
        path = self.raw / name
        return path if path.exists() else next((item for item in sorted(self.raw.rglob("*.*"))), None)

    def write_labels(self):
        with (self.folder / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("filename", "label"), *self.labels.items()])

    def options(self, **more):
        # A refused shard and a shrunken source are no part of this law: no fraction stops anything here.
        return make_settings_for(
            self.folder,
            output={"format": "jpeg", **RECIPES[self.recipe]},
            num_shards=self.num_shards,
            labels={"kind": "file", "path": "labels.csv"},
            checks={"failed_fraction": {"error": 1.0}, "lost_fraction": {"error": 1.0}},
            **more,
        )

    @rule(name=names, number=numbers)
    def write(self, name, number):
        self.path(name).write_bytes(image_bytes(number))

    @rule(name=names)
    def delete(self, name):
        # The last image stays: an emptied source is refused, which has its own test.
        if (path := self.existing(name)) is not None and len(list(self.raw.rglob("*.*"))) > 1:
            path.unlink()

    @rule(old=names, new=names)
    def rename(self, old, new):
        if (path := self.existing(old)) is not None:
            path.rename(self.path(new))

    @rule(old=names, new=names, number=numbers)
    def rename_and_edit(self, old, new, number):
        if (path := self.existing(old)) is not None:
            path.rename(self.path(new)).write_bytes(image_bytes(number))

    @rule(one=names, other=names)
    def swap(self, one, other):
        first, second = self.existing(one), self.existing(other)
        if first is not None and second is not None and first != second:
            aside = self.folder / "aside"
            first.rename(aside)
            second.rename(first)
            aside.rename(second)

    @rule(old=names, new=names)
    def copy(self, old, new):
        if (path := self.existing(old)) is not None and path != self.path(new):
            shutil.copyfile(path, self.path(new))

    @rule(name=names)
    def touch(self, name):
        if (path := self.existing(name)) is not None:
            os.utime(path)

    @rule(name=names)
    def corrupt(self, name):
        if (path := self.existing(name)) is not None:
            self.broken[path.relative_to(self.raw).as_posix()] = path.read_bytes()
            path.write_bytes(path.read_bytes()[:200])

    @precondition(lambda self: self.broken)
    @rule(data=st.data())
    def repair(self, data):
        name = data.draw(st.sampled_from(sorted(self.broken)))
        self.path(name).write_bytes(self.broken.pop(name))

    @rule(name=names, label=st.sampled_from(["x", "y", ""]))
    def relabel(self, name, label):
        self.labels[name] = label
        self.write_labels()

    @rule()
    def change_recipe(self):
        self.recipe = 1 - self.recipe

    @rule(num_shards=st.sampled_from([1, 3, 4]))
    def change_shards(self, num_shards):
        self.num_shards = num_shards

    @precondition(lambda self: any(self.raw.rglob("*.*")))
    @rule(writes=st.integers(0, 12), after=st.booleans())
    def killed_run(self, writes, after):
        with killed_at_write(writes, after=after), suppress(KilledError):
            run_dataset(self.options())
        # What its commits hold is asked for when it settles; which way images go then is left to the plan.
        self.last = None

    @rule(keep=st.sampled_from([None, 1, 2]), compact=st.booleans())
    def vacuum(self, keep, compact):
        if (self.folder / "store").exists():
            vacuum_dataset(self.options(), Retention(keep=keep), compact=compact, dry_run=False)

    @precondition(lambda self: any(self.raw.rglob("*.*")))
    @rule()
    def settle(self):
        have = {
            path.relative_to(self.raw).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.raw.rglob("*.*")
        }
        # Files written a moment ago settle first, so that plan and run see the same versions.
        time.sleep(0.005)
        if self.last is None:
            self.failing = {(sha, self.recipe) for sha in self.known_failures()}
        unknown = {(sha, self.recipe) for sha in have.values()} - self.processed() - self.failing
        planned = plan_dataset(self.options()).counts
        report = run_dataset(self.options())
        counts = report.counts
        assert counts.decoded == len(unknown)
        assert counts.wanted == len(have)
        if self.last is not None:
            assert counts.removed == len(set(self.last) - set(have))
            if self.recipe == self.last_recipe:
                assert counts.kept == sum(self.last.get(key) == sha for key, sha in have.items())
        assert asdict(planned) == {**asdict(counts), "failed": 0}
        fresh = tempfile.mkdtemp(dir=self.folder)
        scratch = run_dataset(self.options(store=f"{fresh}/store"))
        shutil.rmtree(fresh)
        assert report.index.head.digest == scratch.index.head.digest
        assert report.index.head.rows == scratch.index.head.rows
        failed = {key for shard in scratch.shards for key in shard.failures["key"].to_pylist()}
        self.failing = {(have[key], self.recipe) for key in failed}
        self.last, self.last_recipe = have, self.recipe

    def processed(self):
        """What has outputs in a segment, by the files themselves: a killed run leaves some, clean-up takes some."""
        folder = self.folder / "store/segments" / recipe_id_of(self.options())
        files = sorted(folder.glob("*.parquet")) if folder.exists() else []
        return {(sha, self.recipe) for file in files for sha in pq.read_table(file, columns=["sha256"])[0].to_pylist()}

    def known_failures(self):
        """What the commits, also of killed runs, know to fail with the present recipe."""
        state = detect(self.options())
        return set(known_failures(Store(str(self.folder / "store")), state, state.touched()))


TestLawOne = Dataset.TestCase
TestLawOne.settings = settings(
    max_examples=int(os.environ.get("LAW_ONE_SEQUENCES", "60")),
    derandomize="LAW_ONE_SEQUENCES" not in os.environ,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=set(Phase) - {Phase.shrink},  # a step takes 0.1 s: shrinking a failure would take an hour
)
