"""The store on an object store: runs killed around their writes, and runs at the same time, end as on disk.

A run is killed just before and just after each object that it writes. The suite tries every ``KILL_EVERY``-th of these
moments (default 113); ``KILL_EVERY=1`` tries all of some 170 and takes minutes:

    KILL_EVERY=1 python -m pytest image_assets_tests/faults/test_buckets.py
"""

import os
import signal
import sys

import pytest

from image_assets.pipeline import vacuum
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets_tests.faults.histories import CHANGES
from image_assets_tests.faults.jobs import Job
from image_assets_tests.faults.judging import assert_equals_scratch, assert_whole, strays
from image_assets_tests.faults.shim import Fault
from image_assets_tests.images import make_settings_for
from image_assets_tests.mirrors import download_store, upload_store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the children are forked as on Linux")
EVERY = int(os.environ.get("KILL_EVERY", "113"))
# The others differ in the requests alone, so one history shows each.
PLACES = [*(("s3", name) for name in CHANGES), ("azure", "edits"), ("gcs", "edits")]
RACES = [("s3", "first run"), ("azure", "edits"), ("gcs", "edits")]
_WRITES = {"put", "commit"}


@pytest.fixture
def new_store(request):
    """Return settings over a fresh copy of a history's store in a bucket."""
    server = request.getfixturevalue(request.param)
    bucket = server.new_bucket()

    def make(history, name):
        url = server.url(bucket, name)
        if (history.folder / "before").exists():
            upload_store(history.folder / "before", url)
        return make_settings_for(history.folder, store=url, **history.options)

    make.environment = server.environment
    return make


def judge(settings, history, folder):
    """What was left in the bucket is the dataset that a run from scratch makes."""
    mirror = download_store(settings.store, folder)
    assert_whole(mirror)
    assert_equals_scratch(settings.model_copy(update={"store": str(mirror)}), history.scratch)


@pytest.mark.parametrize(("new_store", "name"), PLACES, indirect=["new_store"])
def test_a_run_after_a_kill_around_a_write_ends_as_if_there_was_none(
    name, history_of, new_store, zygote, tmp_path, monkeypatch
):
    history = history_of(name)
    whole = Job(new_store(history, "whole"), tmp_path / "whole", watch=True, environment=new_store.environment)
    points = zygote.run(whole)[0].points
    moments = [at for at, point in enumerate(points) if point.kind in _WRITES][::EVERY]
    assert moments
    for at in moments:
        settings, folder = new_store(history, str(at)), tmp_path / str(at)
        job = Job(settings, folder / "child", watch=True, fault=Fault(at), environment=new_store.environment)
        killed = zygote.run(job)[0]
        assert killed.signal == signal.SIGKILL, killed.traceback
        try:
            assert_whole(download_store(settings.store, folder / "killed"))
            report = run_dataset(settings)
            decoded = killed.decoded + report.counts.decoded
            assert history.decoded <= decoded <= history.decoded + history.segment_images
            judge(settings, history, folder / "after")
        except Exception as error:
            error.add_note(f"{name}: killed {points[at]} ({at})")
            raise
    # An hour of grace stands for the lock that a bucket does not have.
    monkeypatch.setattr(vacuum, "CAREFUL_S", -60.0)
    vacuum_dataset(settings, Retention(), compact=False, dry_run=False)
    mirror = download_store(settings.store, tmp_path / "clean")
    assert strays(settings.model_copy(update={"store": str(mirror)})) == set()


@pytest.mark.parametrize(("new_store", "name"), RACES, indirect=["new_store"])
def test_runs_at_the_same_time_end_as_one(name, history_of, new_store, zygote, tmp_path):
    history = history_of(name)
    settings = new_store(history, "one")
    jobs = [
        Job(settings, tmp_path / f"{number}", delay_s=0.05 * number, environment=new_store.environment)
        for number in range(3)
    ]
    for result in zygote.run(*jobs):
        assert (result.signal, result.error) == (0, None), result.traceback
    judge(settings, history, tmp_path / "mirror")
