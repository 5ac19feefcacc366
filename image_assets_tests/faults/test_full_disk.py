"""A disk that is full, read-only or not ours: one line says so, nothing is half there, and with room the run ends."""

import errno
import os
import subprocess
import sys

import pytest
import yaml

from image_assets.pipeline.run import run_dataset
from image_assets_tests.faults.histories import OPTIONS
from image_assets_tests.faults.jobs import Job
from image_assets_tests.faults.judging import assert_equals_scratch, assert_whole
from image_assets_tests.faults.shim import Fault
from image_assets_tests.images import make_settings_for, write_images

linux = pytest.mark.skipif(sys.platform != "linux", reason="the shim asks /proc for the path of an open file")
EVERY = int(os.environ.get("KILL_EVERY", "67"))


def in_store(point):
    return not point.path.startswith(("image-assets-scratch-", ".image-assets-scratch-"))


def fail_at(history, zygote, folder, at, error):
    """Run with one failing call; return what the run said of it after checking what it left."""
    settings = history.settings(folder)
    point = history.points[at]
    result = zygote.run(Job(settings, folder / "child", watch=True, fault=Fault(at, error)))[0]
    told = f"{error} {point} ({at})\n{result.traceback}"
    assert (result.signal, result.error) == (0, "StoreError"), told
    assert "\n" not in result.text, told
    assert os.strerror(getattr(errno, error)) in result.text, told
    assert settings.store in result.text, told
    assert_whole(folder / "store")
    assert not list((folder / "store").glob("tmp/*")), told
    assert not list((folder / "child/tmp").glob("image-assets-scratch-*")), told
    run_dataset(settings)
    assert_equals_scratch(settings, history.scratch)


@linux
@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("name", ["first run", "edits"])
def test_a_full_disk_ends_the_run_with_one_line_and_with_room_the_next_is_right(
    name, part, history_of, zygote, tmp_path
):
    history = history_of(name)
    moments = [at for at, point in enumerate(history.points) if point.can_fail and in_store(point)]
    for at in moments[:: max(1, EVERY // 2)][part::2]:
        fail_at(history, zygote, tmp_path / str(at), at, "ENOSPC")


@linux
@pytest.mark.parametrize("part", range(2))
def test_a_full_temporary_folder_ends_the_run_with_one_line_and_leaves_nothing_there(
    part, history_of, zygote, tmp_path
):
    history = history_of("edits")
    moments = [at for at, point in enumerate(history.points) if point.can_fail and not in_store(point)]
    for at in moments[:: max(1, EVERY // 4)][part::2]:
        folder = tmp_path / str(at)
        settings = history.settings(folder)
        result = zygote.run(Job(settings, folder / "child", watch=True, fault=Fault(at, "ENOSPC")))[0]
        told = f"{history.points[at]} ({at})\n{result.traceback}"
        assert (result.signal, result.error in {"OSError", "StoreError"}) == (0, True), told
        assert "\n" not in result.text, told
        assert str(folder / "child/tmp") in result.text, told
        assert_whole(folder / "store")
        assert not list((folder / "child/tmp").glob("image-assets-scratch-*")), told
        run_dataset(settings)
        assert_equals_scratch(settings, history.scratch)


@linux
@pytest.mark.parametrize("error", ["EROFS", "EACCES", "EIO", "EDQUOT"])
@pytest.mark.parametrize("kind", ["open", "mkdir", "write", "link", "replace", "fsync"])
def test_a_disk_that_takes_nothing_ends_the_run_with_one_line(kind, error, history_of, zygote, tmp_path):
    history = history_of("edits")
    wanted = (
        at for at, point in enumerate(history.points) if point.kind == kind and point.can_fail and in_store(point)
    )
    fail_at(history, zygote, tmp_path / "one", next(wanted), error)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, really mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if (
        sys.platform != "linux"
        or os.getuid() != 0
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk, free_bytes):
    """Put a file on the disk that leaves so much room."""
    status = os.statvfs(disk)
    (disk / "filler").write_bytes(b"-" * (status.f_bavail * status.f_frsize - free_bytes))


def run_command(settings, folder, **environment):
    """Run the command line tool on settings."""
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_none=True)))
    command = [sys.executable, "-m", "image_assets", "run", "--json", "--config", str(config)]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, check=False)


@pytest.mark.parametrize(
    ("what", "free_bytes"),
    [
        ("store", 4096),  # the log has no room
        ("store", 16384),
        ("store", 49152),
        # Python takes another temporary folder when there is no room at all.
        ("temporary folder", 8192),
        ("temporary folder", 28672),
    ],
)
def test_a_really_full_disk_is_one_line_and_no_traceback(what, free_bytes, small_disk, tmp_path):
    write_images(tmp_path / "raw", 8)
    # Large outputs, so that the room ends before the work does.
    options = {**OPTIONS, "image": {"width_px": 64, "height_px": 64}, "output": {"format": "png"}}
    store = small_disk / "store" if what == "store" else tmp_path / "store"
    settings = make_settings_for(tmp_path, store=str(store), **options)
    fill(small_disk, free_bytes)
    done = run_command(settings, tmp_path, **({} if what == "store" else {"TMPDIR": str(small_disk)}))
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith("image-assets: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert str(small_disk) in done.stderr
    # SQLite has words of its own for it.
    assert "No space left on device" in done.stderr or what == "temporary folder"
    assert_whole(store)
    (small_disk / "filler").unlink()
    run_dataset(settings)
    scratch = make_settings_for(tmp_path, store="scratch", **options)
    run_dataset(scratch)
    assert_equals_scratch(settings, scratch)
