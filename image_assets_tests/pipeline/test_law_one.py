"""Law 1, by a model: after any sequence of changes the incremental dataset equals one made from scratch."""

import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.run import run_dataset
from image_assets_tests.images import image_bytes, make_settings_for

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
        self.processed: set[tuple[str, int]] = set()  # (sha256, recipe) that have outputs in some segment
        self.failing: set[tuple[str, int]] = set()  # (sha256, recipe) that the last commits know to fail
        self.last: dict[str, str] = {}
        self.last_recipe: int | None = None

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

    def options(self):
        # A refused shard is no part of this law: no fraction of failed images stops one here.
        return {
            "output": {"format": "jpeg", **RECIPES[self.recipe]},
            "num_shards": self.num_shards,
            "checks": {"failed_fraction": {"error": 1.0}},
        }

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

    @rule(name=names, number=numbers)
    def corrupt(self, name, number):
        self.path(name).write_bytes(image_bytes(number)[:200])

    @rule()
    def change_recipe(self):
        self.recipe = 1 - self.recipe

    @rule(num_shards=st.sampled_from([1, 3, 4]))
    def change_shards(self, num_shards):
        self.num_shards = num_shards

    @precondition(lambda self: any(self.raw.rglob("*.*")))
    @rule()
    def settle(self):
        have = {
            path.relative_to(self.raw).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.raw.rglob("*.*")
        }
        # Files written a moment ago settle first, so that plan and run see the same versions.
        time.sleep(0.005)
        options = make_settings_for(self.folder, **self.options())
        planned = plan_dataset(options).counts
        report = run_dataset(options)
        counts = report.counts
        unknown = {(sha, self.recipe) for sha in have.values()} - self.processed - self.failing
        assert counts.decoded == len(unknown)
        assert counts.wanted == len(have)
        assert counts.removed == len(set(self.last) - set(have))
        if self.recipe == self.last_recipe:
            assert counts.kept == sum(self.last.get(key) == sha for key, sha in have.items())
        assert asdict(planned) == {**asdict(counts), "failed": 0}
        fresh = tempfile.mkdtemp(dir=self.folder)
        scratch = run_dataset(make_settings_for(self.folder, store=f"{fresh}/store", **self.options()))
        assert report.index.head.digest == scratch.index.head.digest
        assert report.index.head.rows == scratch.index.head.rows
        self.remember(have, scratch)

    def remember(self, have, scratch):
        failed = {key for report in scratch.shards for key in report.failures["key"].to_pylist()}
        self.failing = {(have[key], self.recipe) for key in failed}
        self.processed |= {(sha, self.recipe) for key, sha in have.items() if key not in failed}
        self.last, self.last_recipe = have, self.recipe


TestLawOne = Dataset.TestCase
TestLawOne.settings = settings(
    # The suite tries the same sequences each time; LAW_ONE_SEQUENCES=10000 tries so many others.
    max_examples=int(os.environ.get("LAW_ONE_SEQUENCES", "300")),
    derandomize="LAW_ONE_SEQUENCES" not in os.environ,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=set(Phase) - {Phase.shrink},  # a step takes 0.1 s: shrinking a failure would take an hour
)
