"""Bytes that several images share are one task's to decode, whatever becomes of the task, its worker or the files."""

import multiprocessing
import os
import pickle
import random
import shutil
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from image_assets.core.planning import WORK_SCHEMA
from image_assets.core.sharding import bucket_range, buckets_of, shard_names
from image_assets.engines import local_engine
from image_assets.pipeline.claims import Claim, LocalClaims
from image_assets.pipeline.detect import RunOptions, detect
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.preprocess import preprocess_shards
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.tasks import Task
from image_assets.storage.manifests import latest_commit, read_manifest
from image_assets.storage.store import Store
from image_assets.transforms.base import Transform
from image_assets_tests.images import image_bytes, make_settings_for, write_images

HASHES = [f"{number:064x}" for number in range(300)]
MAGENTA = (255, 0, 255)


class AbortOnMagenta(Transform):
    """Ends its process over images of one colour, as a defect in a native library would."""

    version: ClassVar[int] = 1
    stage = "after_resize"
    random: ClassVar[bool] = False

    def apply(self, pixels, rng, background, /):
        if np.abs(pixels.astype(int) - MAGENTA).max() < 8:
            os.abort()
        return pixels


ABORTING = {"transforms": [f"{__name__}:AbortOnMagenta"]}


@pytest.fixture
def claims(tmp_path):
    made = LocalClaims.create(tmp_path / "claims.sqlite")
    yield made
    made.close()


def take_all(claims, owner, lost):
    """Return the hashes that one task gets, asking in an order of its own."""
    order = list(HASHES)
    random.Random(owner).shuffle(order)
    return [sha256 for sha256 in order if claims.take(sha256, owner, lost) is None]


def race(claims, owners, lost=()):
    """Let tasks in processes of their own ask for the same hashes at once; return what each got."""
    with ProcessPoolExecutor(len(owners), multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(take_all, claims, owner, lost) for owner in owners]
        return [future.result() for future in futures]


def rows_of(settings):
    """The rows of all last commits by key."""
    store = Store(settings.store)
    manifests = [read_manifest(store, shard, latest_commit(store, shard)) for shard in shard_names(settings.num_shards)]
    return {row["key"]: row for manifest in manifests for row in manifest.rows.to_pylist()}


def names_in(shard, count, stem):
    """Names that all fall into one shard."""
    candidates = [f"a/{stem}-{number}.jpg" for number in range(1000)]
    first, end = bucket_range(shard)
    found = [name for name, bucket in zip(candidates, buckets_of(candidates), strict=True) if first <= bucket < end]
    return found[:count]


def test_the_first_to_ask_has_the_bytes_and_the_others_hear_who(claims):
    assert claims.take(HASHES[0], 1, ()) is None
    assert claims.take(HASHES[0], 2, ()) == Claim(owner=1)
    assert claims.take(HASHES[1], 2, ()) is None


def test_others_hear_what_became_of_the_bytes(claims):
    for sha256 in HASHES[:2]:
        claims.take(sha256, 1, ())
    claims.made([(HASHES[0], "segment", 7)])
    claims.failed(HASHES[1], "corrupt", "why")
    for lost in ((), {1}):  # what was finished before its task was lost stays finished
        assert claims.take(HASHES[0], 2, lost) == Claim(1, segment="segment", row=7)
        assert claims.take(HASHES[1], 2, lost) == Claim(1, reason="corrupt", detail="why")


def test_a_released_claim_is_free(claims):
    claims.take(HASHES[0], 1, ())
    claims.release(HASHES[0])
    assert claims.take(HASHES[0], 2, ()) is None
    assert claims.take(HASHES[0], 1, ()) == Claim(owner=2)


def test_what_a_lost_task_had_is_taken_over_once(claims):
    claims.take(HASHES[0], 1, ())
    assert claims.take(HASHES[0], 2, {1}) is None
    assert claims.take(HASHES[0], 3, {1}) == Claim(owner=2)
    assert claims.take(HASHES[0], 3, {1, 2}) is None


def test_processes_that_ask_at_once_share_the_bytes_out(claims):
    owners = [1, 2, 3]
    got = race(claims, owners)
    assert sorted(chain(*got)) == HASHES
    for owner, mine in zip(owners, got, strict=True):
        assert {claims.take(sha256, 9, ()) for sha256 in mine} <= {Claim(owner)}


def test_processes_that_take_over_a_lost_task_share_it_out(claims):
    take_all(claims, 1, ())
    assert sorted(chain(*race(claims, [2, 3, 4], lost={1}))) == HASHES


@pytest.mark.parametrize("num_shards", [1, 4])
def test_copies_of_an_image_that_kills_workers_fail_like_it_and_the_run_ends(tmp_path, num_shards):
    write_images(tmp_path / "raw", 120)
    Image.new("RGB", (40, 30), MAGENTA).save(tmp_path / "raw/a/deadly-0.jpg")
    for number in range(1, 9):
        shutil.copyfile(tmp_path / "raw/a/deadly-0.jpg", tmp_path / f"raw/a/deadly-{number}.jpg")
    # Beside it, copies that are sound: their first owner may die with the deadly one.
    for number in range(40):
        (tmp_path / f"raw/b/copy-{number}.jpg").write_bytes(image_bytes(number))
    checks = {"failed_fraction": {"error": 1.0}}
    settings = make_settings_for(tmp_path, num_shards=num_shards, workers=2, checks=checks, **ABORTING)
    report = run_dataset(settings)
    rows = rows_of(settings)
    assert len(rows) == 169
    failed = {key: row for key, row in rows.items() if row["status"] == "failed"}
    assert sorted(failed) == [f"a/deadly-{number}.jpg" for number in range(9)]
    assert {(row["reason"], row["attempts"]) for row in failed.values()} == {("decoder_crashed", 1)}
    assert len({row["detail"] for row in failed.values()}) == 1
    assert (report.counts.new, report.counts.failed, report.counts.decoded) == (169, 9, 121)
    assert run_dataset(settings).counts.kept == 169


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_vanishes_after_it_was_claimed_leaves_its_bytes_to_a_copy(tmp_path, workers):
    first, last = "0-of-4", "3-of-4"
    gone, copies = names_in(first, 30, "gone"), names_in(last, 30, "copy")
    (tmp_path / "raw/a").mkdir(parents=True)
    for number, pair in enumerate(zip(gone, copies, strict=True)):
        for name in pair:
            (tmp_path / "raw" / name).write_bytes(image_bytes(number))
    run_dataset(make_settings_for(tmp_path))
    # Another recipe: hashes are known, so that bytes are claimed before they are read.
    settings = make_settings_for(tmp_path, workers=workers, output={"quality": 50})
    state = detect(settings, RunOptions(allow_deletes=True))
    for name in gone:
        (tmp_path / "raw" / name).unlink()
    with local_engine(settings) as engine:
        reports = list(preprocess_shards(state, shard_names(4), engine))
    assert sum(report.counts.decoded for report in reports) == 30
    rows = rows_of(settings)
    assert {rows[name]["status"] for name in copies} == {"ok"}
    # One that went after its copy was done was not looked at again: the next run sees that it is gone.
    counts = run_dataset(settings, RunOptions(allow_deletes=True)).counts
    assert (counts.kept, counts.removed, counts.decoded) == (30, len(rows) - 30, 0)


def test_bytes_that_one_name_does_not_give_are_decoded_under_another(tmp_path):
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(image_bytes(1))
    write_images(tmp_path / "raw", 6, first=10)
    (tmp_path / "raw/a/link.jpg").symlink_to(outside)
    source = {"source": {"path": "raw", "follow_symlinks": True}}
    assert rows_of_run(make_settings_for(tmp_path, **source))["a/link.jpg"]["status"] == "ok"
    # Another recipe, and the link may not be followed any more: its hash is known, its bytes cannot be read.
    settings = make_settings_for(tmp_path, output={"quality": 50})
    link = rows_of_run(settings)["a/link.jpg"]
    assert (link["reason"], link["sha256"]) == ("outside_root", None)
    shutil.copyfile(outside, tmp_path / "raw/a/copy.jpg")
    assert rows_of_run(settings)["a/copy.jpg"]["status"] == "ok"


def rows_of_run(settings):
    run_dataset(settings)
    return rows_of(settings)


@pytest.mark.parametrize("contents", [1, 2000])
def test_thousands_of_tiny_copies_are_decoded_once_each(tmp_path, contents):
    (tmp_path / "raw").mkdir()
    tiny = [image_bytes(number, size=(4, 4), kind="PNG") for number in range(contents)]
    for position in range(4000):
        (tmp_path / f"raw/{position}.png").write_bytes(tiny[position % contents])
    settings = make_settings_for(tmp_path, num_shards=16, workers=2, image={"width_px": 4, "height_px": 4})
    planned = plan_dataset(settings).counts
    report = run_dataset(settings)
    assert (report.counts.new, report.counts.decoded, report.counts.failed) == (4000, contents, 0)
    assert planned == report.counts
    assert report.index.head.rows == 4000
    assert len({row["output_sha256"][0] for row in rows_of(settings).values()}) == contents


def test_a_task_takes_no_more_than_its_own_rows_along():
    rows = [
        {"key": f"a/{number}.jpg", "version": "1", "size_bytes": 1, "bucket": 0, "known_key": False, "twin": False,
         "same_recipe": False}
        for number in range(20_000)
    ]  # fmt: skip
    work = pa.Table.from_pylist(rows, schema=WORK_SCHEMA)
    task = Task(7, "0-of-4", work.slice(15_000, 100), frozenset({3}))
    sent = pickle.dumps(task)
    assert len(sent) < 20_000
    assert pickle.loads(sent) == task
