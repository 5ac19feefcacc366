"""Runs at the same time on the same store: each ends well, and no row is lost or doubled."""

import random
import sys

import pytest

from image_assets.core.sharding import bucket_of, bucket_range
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.verify import verify_dataset
from image_assets.storage.manifests import latest_commit, read_manifest
from image_assets.storage.store import Store
from image_assets_tests.faults.histories import CHANGES, OPTIONS
from image_assets_tests.faults.jobs import Job
from image_assets_tests.faults.judging import assert_equals_scratch, assert_whole
from image_assets_tests.images import make_settings_for, write_images

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the children are forked as on Linux")
SHARD = "1-of-4"


def staggered(settings, folder, seed, count=2, shards=()):
    """Return jobs that start within the time that one takes, the first at once."""
    delays = [0.0, *(random.Random(seed).choice([0.0, 0.01, 0.03, 0.06, 0.1, 0.15]) for _ in range(count - 1))]
    return [Job(settings, folder / f"{number}", shards, delay_s=delay) for number, delay in enumerate(delays)]


def assert_all_well(results):
    for result in results:
        assert (result.signal, result.error) == (0, None), result.traceback


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", CHANGES)
def test_two_runs_on_all_shards_end_as_one(name, seed, history_of, zygote, tmp_path):
    history = history_of(name)
    settings = history.settings(tmp_path / "one")
    assert_all_well(zygote.run(*staggered(settings, tmp_path, seed)))
    assert_whole(tmp_path / "one/store")
    # As they left it, without another run.
    assert_equals_scratch(settings, history.scratch)


@pytest.mark.parametrize("seed", range(2))
def test_four_runs_on_all_shards_end_as_one(seed, history_of, zygote, tmp_path):
    history = history_of("edits")
    settings = history.settings(tmp_path / "one")
    assert_all_well(zygote.run(*staggered(settings, tmp_path, seed, count=4)))
    assert_equals_scratch(settings, history.scratch)


@pytest.mark.parametrize("seed", range(4))
def test_two_runs_on_one_shard_commit_each_state_once(seed, history_of, zygote, tmp_path):
    history = history_of("edits")
    settings = history.settings(tmp_path / "one")
    store = Store(settings.store)
    before = latest_commit(store, SHARD)
    assert_all_well(zygote.run(*staggered(settings, tmp_path, seed, shards=(SHARD,))))
    assert latest_commit(store, SHARD) <= before + 1
    first, end = bucket_range(SHARD)
    raw = history.folder / "raw"
    wanted = {path.relative_to(raw).as_posix() for path in raw.rglob("*.jpg")}
    keys = read_manifest(store, SHARD, latest_commit(store, SHARD), ["key"]).rows["key"].to_pylist()
    assert sorted(keys) == sorted(key for key in wanted if first <= bucket_of(key) < end)
    run_dataset(settings)
    assert_equals_scratch(settings, history.scratch)


@pytest.mark.parametrize("seed", range(2))
def test_runs_over_different_recipes_leave_one_of_them_whole(seed, zygote, tmp_path):
    write_images(tmp_path / "raw", 12)
    one, other = (
        make_settings_for(tmp_path, output={"format": "jpeg", "quality": quality}, **OPTIONS) for quality in (90, 80)
    )
    run_dataset(one)
    jobs = [*staggered(one, tmp_path / "one", seed, count=1), *staggered(other, tmp_path / "other", seed)[1:]]
    results = zygote.run(*jobs)
    assert {result.error for result in results} <= {None, "CommitConflictError"}, results
    assert_whole(tmp_path / "store")
    assert verify_dataset(one).problems == ()
    run_dataset(other)
    scratch = other.model_copy(update={"store": str(tmp_path / "scratch")})
    run_dataset(scratch)
    assert_equals_scratch(other, scratch)
