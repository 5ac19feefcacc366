"""A plan says what a run then does, image for image and byte for byte, and writes nothing."""

import csv
import os
import random
import shutil
import struct
import tempfile
import zlib
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from image_assets.core.sample import REASONS
from image_assets.pipeline.detect import RunOptions
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.run import run_dataset
from image_assets.sources.folder import FolderSource
from image_assets_tests.images import image_bytes, make_settings_for, write_image, write_images

NAMES = [f"{folder}/{number}.{suffix}" for folder in ("a", "b") for number in range(4) for suffix in ("jpg", "png")]
names, numbers = st.sampled_from(NAMES), st.integers(0, 5)
several = st.lists(names, min_size=2, max_size=6, unique=True)
PLAIN = {"output": {"quality": 90}, "augment": {"variants": 0}}
RECIPES = [PLAIN, PLAIN, {**PLAIN, "output": {"quality": 80}}, {**PLAIN, "augment": {"variants": 2}}]

changes = st.one_of(
    st.tuples(st.just("write"), several, numbers),
    st.tuples(st.just("write"), st.tuples(names), numbers),
    st.tuples(st.just("corrupt"), several, numbers),
    st.tuples(st.just("rename"), names, names),
    st.tuples(st.just("swap"), names, names),
    st.tuples(st.just("copy"), names, names),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("touch"), names),
    st.tuples(st.just("relabel"), names, st.sampled_from(["x", "y", ""])),
    st.tuples(st.just("lose_segment"), numbers),
)
options = st.builds(
    RunOptions,
    allow_deletes=st.just(True),
    recheck=st.booleans(),
    retry=st.sampled_from([frozenset(), frozenset(), frozenset(REASONS)]),
)
# Vectors are wanted in every other round, so that images of earlier rounds lack one; recipes come back.
chosen = st.fixed_dictionaries(
    {
        "recipe": st.sampled_from(RECIPES),
        "features": st.sampled_from([{"extractor": "colour-moments"}, {"extractor": "none"}]),
        "num_shards": st.sampled_from([4, 4, 4, 1, 7]),
    }
)
rounds = st.lists(st.tuples(chosen, st.lists(changes, max_size=8), options), min_size=2, max_size=4)


class World:
    """A folder of images, a dataset over it, and changes to both; each method but a few is a change."""

    def __init__(self, folder, workers=0):
        self.folder, self.raw = folder, folder / "raw"
        self.chosen = {"workers": workers}
        self.labels = dict.fromkeys(NAMES, "x")
        for name in ("a", "b"):
            (self.raw / name).mkdir(parents=True)
        self.relabel(NAMES[0], "x")

    def change(self, chosen, changes):
        self.recipe_before = recipe_id_of(self.settings())
        self.seen_before = self.seen()
        self.lost_one = False
        self.chosen |= chosen["recipe"] | {name: chosen[name] for name in ("features", "num_shards")}
        for name, *arguments in changes:
            getattr(self, name)(*arguments)

    def write(self, several, number, data=None):
        for name in several:
            (self.raw / name).write_bytes(data or image_bytes(number))

    def corrupt(self, several, number):
        self.write(several, number, image_bytes(number)[:200])

    def rename(self, old, new):
        if (self.raw / old).exists():
            (self.raw / old).rename(self.raw / new)

    def swap(self, one, other):
        self.rename(one, "aside")
        self.rename(other, one)
        self.rename("aside", other)

    def copy(self, old, new):
        if (self.raw / old).exists() and old != new:
            shutil.copyfile(self.raw / old, self.raw / new)

    def delete(self, name):
        (self.raw / name).unlink(missing_ok=True)

    def touch(self, name):
        if (self.raw / name).exists():
            os.utime(self.raw / name)

    def relabel(self, name, label):
        self.labels[name] = label
        with (self.folder / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("filename", "label"), *self.labels.items()])

    def lose_segment(self, number):
        if segments := sorted(self.folder.glob("store/segments/*/*.parquet")):
            segments[number % len(segments)].unlink()
            self.lost_one = True

    def settings(self):
        # A refused shard is no part of this: no fraction of failed images stops anything here.
        labels = {"kind": "file", "path": "labels.csv"}
        checks = {"failed_fraction": {"error": 1.0}}
        return make_settings_for(self.folder, labels=labels, checks=checks, **self.chosen)

    def seen(self):
        """What each file holds, and a version of it."""
        files = [path for path in self.raw.rglob("*") if path.is_file()]
        return {path: (path.read_bytes(), path.stat().st_ctime_ns) for path in files}

    def depends_on_who_is_first(self, options):
        """The counts that do: bytes that are made again for an untouched file, and were copied to another as well."""
        again = self.lost_one or options.retry or self.recipe_before != recipe_id_of(self.settings())
        now = self.seen().items()
        untouched = {seen[0] for path, seen in now if self.seen_before.get(path) == seen}
        copied = {seen[0] for path, seen in now if self.seen_before.get(path) != seen}
        return {"reencoded", "read_bytes"} if again and untouched & copied else set()

    def settle(self, options, *, loosely=()):
        """Plan, then run, and compare; ``loosely`` names counts that depend on who was first."""
        settings = self.settings()
        before, processed, vectors = tree(self.folder), self.processed(), self.vectors()
        planned = plan_dataset(settings, options)
        assert tree(self.folder) == before
        report = run_dataset(settings, options)
        done = asdict(report.counts) | {"failed": 0}
        assert {**asdict(planned.counts), **{name: done[name] for name in loosely}} == done
        assert planned.touched == tuple(shard.shard for shard in report.shards if not shard.unchanged)
        if settings.features.extractor != "none":
            made = {sha256: outputs for sha256, outputs in self.processed().items() if sha256 not in processed}
            outputs = [output for outputs in made.values() for output in outputs]
            failed = (done["decoded"] - len(made)) * (1 + settings.augment.variants)
            known = len(outputs) - len(set(outputs) - vectors)
            assert planned.embedded == report.embedded + failed + known
        return report

    def processed(self):
        """The outputs of all bytes that were processed with the present recipe, by the files themselves."""
        found = {}
        for file in self.folder.glob(f"store/segments/{recipe_id_of(self.settings())}/*.parquet"):
            for row in pq.read_table(file, columns=["sha256", "output_sha256"]).to_pylist():
                found.setdefault(row["sha256"], []).append(row["output_sha256"])
        return found

    def vectors(self):
        """The outputs that have a vector."""
        files = self.folder.glob("store/vectors/*/*.parquet")
        return {sha256 for file in files for sha256 in pq.read_table(file)["output_sha256"].to_pylist()}


def tree(folder):
    """Every file below a folder: what it holds and when it was written."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def examples(name, few):
    """Hypothesis' settings: so many examples, the same ones each time unless the environment asks for more."""
    return hypothesis_settings(
        max_examples=int(os.environ.get(name, few)),
        derandomize=name not in os.environ,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=set(Phase) - {Phase.shrink},  # an example takes a quarter of a second: shrinking one would take minutes
    )


@examples("PLAN_EXAMPLES", 8)
@given(rounds)
def test_a_plan_says_what_the_run_does(rounds):
    with tempfile.TemporaryDirectory(prefix="plan-") as folder:
        world = World(Path(folder))
        for chosen, changes, options in rounds:
            world.change(chosen, changes)
            world.settle(options)


@examples("PLAN_WORKERS_EXAMPLES", 3)
@given(rounds)
def test_a_plan_says_what_worker_processes_do(rounds):
    with tempfile.TemporaryDirectory(prefix="plan-") as folder:
        world = World(Path(folder), workers=2)
        for chosen, changes, options in rounds:
            world.change(chosen, changes)
            world.settle(options, loosely=world.depends_on_who_is_first(options))


def test_of_200_images_that_share_20_contents_20_are_decoded_by_two_workers(tmp_path):
    order = [number % 20 for number in range(200)]
    random.Random(1).shuffle(order)
    write = {number: image_bytes(number, size=(640, 480)) for number in range(20)}
    write[19] = write[19][:500]  # copies of a corrupt image fail without being decoded either
    (tmp_path / "raw").mkdir()
    for position, number in enumerate(order):
        (tmp_path / f"raw/{position}.jpg").write_bytes(write[number])
    checks = {"failed_fraction": {"error": 1.0}}
    settings = make_settings_for(tmp_path, num_shards=16, workers=2, checks=checks)
    planned = plan_dataset(settings).counts
    counts = run_dataset(settings).counts
    assert (counts.new, counts.decoded, counts.hashed, counts.failed) == (200, 20, 200, 10)
    assert asdict(planned) == asdict(counts) | {"failed": 0}


@pytest.fixture
def opened(monkeypatch):
    """Keys of the raw images read, by really reading them."""
    keys, read = [], FolderSource.read

    def noting(self, key, *arguments, **options):
        keys.append(key)
        return read(self, key, *arguments, **options)

    monkeypatch.setattr(FolderSource, "read", noting)
    return keys


def run_as_planned(settings):
    """Return the counts of a run that did what the plan said, as a dictionary without zeros."""
    planned = plan_dataset(settings).counts
    counts = run_dataset(settings).counts
    assert planned == counts
    return {name: count for name, count in asdict(counts).items() if count}


def test_a_changed_label_reads_nothing(settings, tmp_path, opened):
    write_images(tmp_path / "raw", 8)
    run_dataset(settings())
    opened.clear()
    assert run_as_planned(settings(labels={"kind": "none"})) == {"kept": 8, "relabelled": 8}
    assert opened == []


def test_another_quality_reads_every_good_image_and_hashes_none(settings, tmp_path):
    paths = write_images(tmp_path / "raw", 8)
    (tmp_path / "raw/a/bad.jpg").write_bytes(image_bytes(1)[:300])
    run_dataset(settings())
    size_bytes = sum(path.stat().st_size for path in paths) + 300
    other = settings(output={"quality": 50})
    planned, counts = plan_dataset(other).counts, run_dataset(other).counts
    # Another recipe tries what failed again too.
    assert (counts.changed, counts.decoded, counts.reencoded, counts.hashed) == (9, 9, 9, 0)
    assert counts.read_bytes == size_bytes
    assert asdict(planned) == asdict(counts) | {"failed": 0}


@pytest.mark.parametrize("num_shards", [1, 16])
def test_vectors_that_were_not_wanted_so_far_are_foreseen(settings, tmp_path, num_shards):
    colour = "colour-moments"
    steps = [("none", 0), ("none", 0), (colour, 3), ("none", 0), ("none", 0), (colour, 3), (colour, 1)]
    for number, (extractor, embedded) in enumerate(steps):
        write_image(tmp_path / "raw", f"a/{number}.jpg", number)
        if number == 5:
            (tmp_path / "raw/a/3.jpg").rename(tmp_path / "raw/a/has-no-vector-yet.jpg")
        options = settings(num_shards=num_shards, features={"extractor": extractor})
        assert plan_dataset(options).embedded == embedded
        report = run_dataset(options)
        assert report.embedded == embedded


def test_a_touched_file_is_hashed_once_and_not_decoded(settings, tmp_path):
    (touched, *_) = write_images(tmp_path / "raw", 8)
    run_dataset(settings())
    os.utime(touched)
    assert run_as_planned(settings()) == {"kept": 8, "hashed": 1, "read_bytes": touched.stat().st_size}
    assert run_as_planned(settings()) == {"kept": 8}


def test_a_lower_limit_than_a_known_image_has_reads_nothing_of_it(settings, tmp_path):
    small, large = write_image(tmp_path / "raw", "a/small.jpg", 1), tmp_path / "raw/a/large.png"
    large.write_bytes(image_bytes(2, size=(400, 300), kind="PNG"))
    run_dataset(settings())
    limited = settings(limits={"max_file_bytes": small.stat().st_size})
    assert large.stat().st_size > small.stat().st_size
    planned, counts = plan_dataset(limited).counts, run_dataset(limited).counts
    assert (counts.changed, counts.decoded, counts.failed, counts.read_bytes) == (2, 1, 1, small.stat().st_size)
    assert asdict(planned) == asdict(counts) | {"failed": 0}


def tiny_png(number):
    """Return a PNG of 2x2 pixels of one colour: 82 bytes, and four pixels to decode."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = 2 * (b"\0" + 2 * number.to_bytes(3, "big"))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_thousands_of_renamed_files_move_and_none_is_decoded(settings, tmp_path):
    (tmp_path / "raw/a").mkdir()
    for number in range(3_000):
        (tmp_path / f"raw/a/{number}.png").write_bytes(tiny_png(number))
    options = settings(image={"width_px": 2, "height_px": 2})
    assert run_dataset(options).counts.decoded == 3_000
    (tmp_path / "raw/a").rename(tmp_path / "raw/b")
    report = run_dataset(options)
    assert (report.counts.moved, report.counts.removed, report.counts.decoded) == (3_000, 3_000, 0)
    assert report.index.head.rows == 3_000
