"""Law 1, by a model: after any sequence of changes the incremental dataset equals one made from scratch.

In a folder, and with source and store in a bucket of each cloud; in S3 the bucket tells of itself as well, and what it
tells is lost, doubled and late. The suite tries the same sequences each time; these try so many new random ones:

    LAW_ONE_SEQUENCES=10000 python -m pytest image_assets_tests/pipeline/test_law_one.py -k folder
    LAW_ONE_BUCKET_SEQUENCES=1000 python -m pytest image_assets_tests/pipeline/test_law_one.py -k buckets
"""

import csv
import hashlib
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from image_assets.core.sharding import shard_names
from image_assets.pipeline import vacuum
from image_assets.pipeline.bucket_events import follow_events
from image_assets.pipeline.detect import detect
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.previous import known_failures
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.run import run_dataset, update_shards
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets_tests.buckets import watched_bucket
from image_assets_tests.images import image_bytes, make_settings_for
from image_assets_tests.kills import KilledError, killed_at_write
from image_assets_tests.raw_places import RawBucket, RawFolder

NAMES = [f"{folder}/{number}.{suffix}" for folder in ("a", "b") for number in range(4) for suffix in ("jpg", "png")]
names = st.sampled_from(NAMES)
numbers = st.integers(0, 5)
RECIPES = [{"quality": 90}, {"quality": 80}]


class Dataset(RuleBasedStateMachine):
    """Raw images, a dataset over them, and what is known to be true of both."""

    compacts = True

    @initialize(first=st.dictionaries(names, numbers, max_size=6))
    def start(self, first):
        self.folder = Path(tempfile.mkdtemp(prefix="law-one-"))
        self.place = {}
        self.make_place()
        self.recipe, self.num_shards = 0, 4
        self.failing: set[tuple[str, int]] = set()  # (sha256, recipe) that the last commits know to fail
        self.last: dict[str, str] | None = {}
        self.last_recipe: int | None = None
        self.labels = dict.fromkeys(NAMES, "x")
        self.broken: dict[str, bytes] = {}
        self.write_labels()
        for name, number in first.items():
            self.write(name, number)
        if first:
            self.settle()

    def make_place(self):
        self.raw = RawFolder(self.folder / "raw")

    def teardown(self):
        if hasattr(self, "folder"):
            try:
                # What is done after the last run would show nothing, and many sequences have none of their own.
                if sys.exc_info()[0] is None and self.raw.names():
                    self.settle()
            finally:
                shutil.rmtree(self.folder)

    def existing(self, name):
        """The given file, or the first there is."""
        have = self.raw.names()
        return name if name in have else next(iter(have), None)

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
            **{**self.place, **more},
        )

    @rule(name=names, number=numbers)
    def write(self, name, number):
        self.raw.write(name, image_bytes(number))

    @rule(name=names)
    def delete(self, name):
        # The last image stays: an emptied source is refused, which has its own test.
        if (found := self.existing(name)) is not None and len(self.raw.names()) > 1:
            self.raw.delete(found)

    @rule(old=names, new=names)
    def rename(self, old, new):
        if (found := self.existing(old)) is not None:
            self.raw.rename(found, new)

    @rule(old=names, new=names, number=numbers)
    def rename_and_edit(self, old, new, number):
        if (found := self.existing(old)) is not None:
            self.raw.rename(found, new)
            self.raw.write(new, image_bytes(number))

    @rule(one=names, other=names)
    def swap(self, one, other):
        first, second = self.existing(one), self.existing(other)
        if first is not None and second is not None and first != second:
            self.raw.swap(first, second)

    @rule(old=names, new=names)
    def copy(self, old, new):
        if (found := self.existing(old)) is not None:
            self.raw.copy(found, new)

    @rule(name=names)
    def touch(self, name):
        if (found := self.existing(name)) is not None:
            self.raw.touch(found)

    @rule(name=names)
    def corrupt(self, name):
        if (found := self.existing(name)) is not None:
            self.broken[found] = self.raw.read(found)
            self.raw.write(found, self.broken[found][:200])

    @precondition(lambda self: self.broken)
    @rule(data=st.data())
    def repair(self, data):
        name = data.draw(st.sampled_from(sorted(self.broken)))
        self.raw.write(name, self.broken.pop(name))

    @rule(name=names, label=st.sampled_from(["x", "y", ""]))
    def relabel(self, name, label):
        # One that is there, if any: what is said of other names shows only when they come.
        self.labels[self.existing(name) or name] = label
        self.write_labels()

    @rule()
    def change_recipe(self):
        self.recipe = 1 - self.recipe

    @rule(num_shards=st.sampled_from([1, 3, 4]))
    def change_shards(self, num_shards):
        self.num_shards = num_shards

    @precondition(lambda self: self.raw.names())
    @rule(writes=st.integers(0, 12), after=st.booleans())
    def killed_run(self, writes, after):
        with killed_at_write(writes, after=after), suppress(KilledError):
            run_dataset(self.options())
        # What its commits hold is asked for when it settles; which way images go then is left to the plan.
        self.last = None

    @rule(keep=st.sampled_from([None, 1, 2]), compact=st.booleans())
    def vacuum(self, keep, compact):
        if Store(self.options().store, create=False).exists(layout.STORE):
            vacuum_dataset(self.options(), Retention(keep=keep), compact=compact and self.compacts, dry_run=False)

    @precondition(lambda self: self.raw.names())
    @rule()
    def settle(self):
        have = {name: hashlib.sha256(self.raw.read(name)).hexdigest() for name in self.raw.names()}
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
        scratch = self.assert_equals_scratch(report.index.head)
        failed = {key for shard in scratch.shards for key in shard.failures["key"].to_pylist()}
        self.failing = {(have[key], self.recipe) for key in failed}
        self.last, self.last_recipe = have, self.recipe

    def assert_equals_scratch(self, head):
        fresh = tempfile.mkdtemp(dir=self.folder)
        scratch = run_dataset(self.options(store=f"{fresh}/store"))
        shutil.rmtree(fresh)
        assert (head.digest, head.rows) == (scratch.index.head.digest, scratch.index.head.rows)
        return scratch

    def processed(self):
        """What has outputs in a segment, by the files themselves: a killed run leaves some, clean-up takes some."""
        store = Store(self.options().store, create=False)
        found = set()
        for file in store.list(layout.segments_of(recipe_id_of(self.options()))):
            with store.open(file.path) as segment:
                found.update(pq.read_table(segment, columns=["sha256"])["sha256"].to_pylist())
        return {(sha, self.recipe) for sha in found}

    def known_failures(self):
        """What the commits, also of killed runs, know to fail with the present recipe."""
        state = detect(self.options())
        return set(known_failures(Store(self.options().store), state, state.touched()))


class BucketDataset(Dataset):
    """Source and store in buckets of a cloud."""

    compacts = False  # takes a lock that a bucket does not have

    def __init__(self, server):
        super().__init__()
        self.server = server

    def make_place(self):
        bucket = self.server.new_bucket()
        url = self.server.url(bucket, "in")
        self.raw = RawBucket(url)
        self.place = {"source": {"path": url}, "store": self.server.url(bucket, "store")}


class WatchedDataset(BucketDataset):
    """The same, and the bucket puts what happens in it into a queue."""

    def make_place(self):
        self.stack = ExitStack()
        self.watched = self.stack.enter_context(watched_bucket(self.server))
        url = self.server.url(self.watched.bucket, "in")
        self.raw = RawBucket(url)
        self.place = {
            "source": {"path": url},
            "store": self.server.url(self.server.new_bucket(), "store"),
            "trigger": {"sqs": self.watched.sqs},
        }
        self.late: list[str] = []
        self.lost = False

    def teardown(self):
        try:
            super().teardown()
        finally:
            if hasattr(self, "stack"):
                self.stack.close()

    @precondition(lambda self: self.raw.names())
    @rule(fates=st.lists(st.sampled_from(["in time", "lost", "doubled", "late"]), max_size=6), turned=st.booleans())
    def follow(self, fates, turned):
        told = self.watched.take()
        sent, self.late = self.late, []
        for at, body in enumerate(told):
            fate = fates[at] if at < len(fates) else "in time"
            sent += [body] * {"in time": 1, "doubled": 2}.get(fate, 0)
            self.late += [body] * (fate == "late")
            self.lost = self.lost or fate == "lost"
        self.watched.send(*(reversed(sent) if turned else sent))
        self.look()
        if not self.lost and not self.late:
            self.assert_equals_scratch(build_index(self.options()).head)

    @precondition(lambda self: self.raw.names())
    @rule()
    def reconcile(self):
        """Everything is listed, as after an hour; what is told late of what was listed changes nothing."""
        self.look(reconcile_s=0.0)
        self.lost = False
        self.assert_equals_scratch(build_index(self.options()).head)

    def look(self, **sqs):
        dataset = self.options(trigger={"sqs": {**self.watched.sqs, **sqs}})
        look = follow_events(dataset, dataset.trigger.sqs, None, time.time())
        update_shards(dataset, shard_names(dataset.num_shards), snapshot=look.number)
        self.last = None


def judge(machine, variable, count, *, steps=25):
    """Try so many sequences as a variable of the environment says, or ``count`` that are the same each time."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get(variable, count)),
            derandomize=variable not in os.environ,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=set(Phase) - {Phase.shrink},  # a step takes 0.1 s: shrinking a failure would take an hour
        ),
    )


def test_each_change_alone_is_followed():
    # A sequence drawn at random seldom has one of these between two looks and nothing beside it.
    dataset = Dataset()
    dataset.start(first={"a/0.jpg": 0, "a/1.jpg": 1, "b/2.png": 2, "b/3.jpg": 3})
    try:
        for change in (
            lambda: dataset.relabel("a/0.jpg", "y"),
            lambda: dataset.relabel("a/0.jpg", ""),
            lambda: dataset.raw.write("a/1.jpg", dataset.raw.read("a/1.jpg")[:-1] + b"\xd8"),  # of the same size
            lambda: dataset.swap("a/0.jpg", "b/3.jpg"),
            lambda: dataset.rename("a/0.jpg", "b/0.jpg"),
            lambda: dataset.copy("b/0.jpg", "a/2.jpg"),
            lambda: dataset.touch("b/2.png"),
            lambda: dataset.delete("a/2.jpg"),
            lambda: dataset.change_shards(3),
            dataset.change_recipe,
        ):
            change()
            dataset.settle()
    finally:
        dataset.teardown()


def test_a_dataset_in_a_folder_equals_one_from_scratch():
    judge(Dataset, "LAW_ONE_SEQUENCES", 6)


@pytest.mark.parametrize(("kind", "count"), [("gcs", 3), ("azure", 2)])
def test_a_dataset_in_buckets_equals_one_from_scratch(kind, count, request, monkeypatch):
    # An hour of grace stands for the lock that a bucket does not have.
    monkeypatch.setattr(vacuum, "CAREFUL_S", -60.0)
    server = request.getfixturevalue(kind)
    judge(lambda: BucketDataset(server), "LAW_ONE_BUCKET_SEQUENCES", count, steps=15)


def test_a_dataset_in_buckets_that_tell_of_themselves_equals_one_from_scratch(s3, monkeypatch):
    monkeypatch.setattr(vacuum, "CAREFUL_S", -60.0)
    judge(lambda: WatchedDataset(s3), "LAW_ONE_BUCKET_SEQUENCES", 2, steps=10)
