"""The last write is the commit: a run killed before, halfway through and after every change that it makes on disk.

The suite tries every ``KILL_EVERY``-th moment (default 67); ``KILL_EVERY=1`` tries all of some 920 and takes minutes:

    KILL_EVERY=1 python -m pytest image_assets_tests/faults/test_kill_anywhere.py
"""

import os
import signal
import sys
import tempfile

import pytest

from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets_tests.faults.histories import CHANGES
from image_assets_tests.faults.jobs import Job
from image_assets_tests.faults.judging import assert_equals_scratch, assert_whole, strays
from image_assets_tests.faults.shim import Fault

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the shim asks /proc for the path of an open file")
# A prime, so that the moments tried are of all kinds: a file takes about a dozen.
EVERY = int(os.environ.get("KILL_EVERY", "67"))
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", CHANGES)
def test_a_run_after_a_kill_ends_as_if_there_was_none(name, part, history_of, zygote, tmp_path, monkeypatch):
    history = history_of(name)
    moments = range(0, len(history.points), EVERY)[part::PARTS]
    assert moments
    for at in moments:
        child = tmp_path / str(at) / "child"
        settings = history.settings(tmp_path / str(at))
        killed = zygote.run(Job(settings, child, watch=True, fault=Fault(at)))[0]
        told = f"{name}: killed {history.points[at]} ({at})"
        assert killed.signal == signal.SIGKILL, f"{told}: {killed.traceback or 'it lived on'}"
        try:
            assert_whole(tmp_path / str(at) / "store")
            monkeypatch.setattr(tempfile, "tempdir", str(child / "tmp"))
            report = run_dataset(settings)
            decoded = killed.decoded + report.counts.decoded
            assert history.decoded <= decoded <= history.decoded + history.segment_images
            assert_whole(tmp_path / str(at) / "store")
            assert_equals_scratch(settings, history.scratch)
            assert_nothing_left(settings, child / "tmp")
        except Exception as error:
            error.add_note(told)
            raise


def assert_nothing_left(settings, temporary):
    """Clean-up leaves no file that nothing names, and no scratch folder of the killed run."""
    vacuum_dataset(settings, Retention(), compact=False, dry_run=False)
    assert strays(settings) == set()
    assert sorted(temporary.glob("image-assets-scratch-*")) == []
