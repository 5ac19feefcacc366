"""What a power failure may take: nothing whose name is in its place, so bytes reach the disk before names do."""

import sys
from pathlib import PurePosixPath

import pytest

from image_assets_tests.faults.histories import CHANGES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the shim asks /proc for the path of an open file")


@pytest.mark.parametrize("name", CHANGES)
def test_bytes_are_synced_before_a_name_and_the_name_before_the_next_file(name, history_of):
    points = [point for point in history_of(name).points if not point.path.startswith("image-assets-scratch-")]
    published = [at for at, point in enumerate(points) if point.when == "after" and point.kind in {"link", "replace"}]
    assert published
    for at in published:
        # before/after a call are two points, so what came just before is two back; what follows is the very next.
        written, synced = [point for point in points[:at] if point.path.startswith("tmp/")][-2:]
        assert (written.kind in {"write", "copy"}, synced.kind, written.path) == (True, "fsync", synced.path)
        after = points[at + 1]
        assert (after.kind, after.path) == ("fsync", str(PurePosixPath(points[at].path).parent))


@pytest.mark.parametrize("name", CHANGES)
def test_a_new_folder_is_synced_into_the_one_above_it(name, history_of):
    points = history_of(name).points
    made = [at for at, point in enumerate(points) if point.kind == "mkdir" and not _is_elsewhere(point.path)]
    for at in made:
        above = str(PurePosixPath(points[at].path).parent)
        assert (points[at + 1].kind, points[at + 1].path) == ("fsync", above)


def _is_elsewhere(path):
    # Neither scratch nor a log is worth anything after a power failure.
    return path == "logs" or path.startswith("image-assets-scratch-")
