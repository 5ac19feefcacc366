"""Raw images that change under the reader: the run goes on, and the next one is right."""

import os
import shutil
import sys

import pytest

from image_assets.pipeline.run import run_dataset
from image_assets.sources.folder import FolderSource
from image_assets_tests.faults.jobs import Job
from image_assets_tests.faults.judging import assert_equals_scratch
from image_assets_tests.images import image_bytes, make_settings_for, write_image, write_images

KEY = "a/4.jpg"


def vanish(path):
    path.unlink()


def grow(path):
    path.write_bytes(image_bytes(90, size=(80, 60)))


def shrink_to_nothing(path):
    path.write_bytes(b"")


def change_alike(path):
    """Other bytes, and all else that a quick look sees is as before."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange(path):
    """Another file under its name, as editors save."""
    other = path.with_suffix(".new")
    other.write_bytes(image_bytes(91))
    other.replace(path)


def become_pipe(path):
    path.unlink()
    os.mkfifo(path)


def become_folder(path):
    path.unlink()
    path.mkdir()


def become_folder_of_images(path):
    path.unlink()
    write_image(path, "inside.jpg", 92)


def become_dangling_link(path):
    path.unlink()
    path.symlink_to("nowhere.jpg")


def lose_its_folder(path):
    shutil.rmtree(path.parent)


CHANGES = [
    vanish,
    grow,
    shrink_to_nothing,
    change_alike,
    exchange,
    become_pipe,
    become_folder,
    become_folder_of_images,
    become_dangling_link,
    lose_its_folder,
]


@pytest.fixture
def source(tmp_path):
    """Images, and their settings: few may be lost or fail without a question, and here more are."""
    write_images(tmp_path / "raw", 12)
    checks = {"lost_fraction": {"error": 1.0}, "failed_fraction": {"error": 1.0}}
    return make_settings_for(tmp_path, checks=checks)


def before_reading(monkeypatch, path, change):
    """Do something to a file once, between its listing and its reading."""
    read, left = FolderSource.read, [change]

    def changing(self, key, *arguments, **options):
        if key == KEY and left:
            left.pop()(path)
        return read(self, key, *arguments, **options)

    monkeypatch.setattr(FolderSource, "read", changing)
    return left


def while_reading(monkeypatch, path, change):
    """Do something to a file once, between its opening and the reading of its bytes."""
    fstat, left, inode = os.fstat, [change], path.stat().st_ino

    def changing(handle):
        status = fstat(handle)
        if status.st_ino == inode and left:
            left.pop()(path)
        return status

    monkeypatch.setattr(os, "fstat", changing)
    return left


def assert_next_run_is_right(settings, tmp_path):
    run_dataset(settings)
    scratch = make_settings_for(tmp_path, store="scratch", checks=settings.checks.model_dump())
    run_dataset(scratch)
    assert_equals_scratch(settings, scratch)
    quiet = run_dataset(settings)
    assert all(shard.unchanged for shard in quiet.shards)


@pytest.mark.parametrize(("moment", "known"), [(before_reading, False), (while_reading, True)])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_under_the_reader_stops_nothing(change, moment, known, source, tmp_path, monkeypatch):
    path = tmp_path / "raw" / KEY
    if known:
        run_dataset(source)
        path.write_bytes(image_bytes(80))
    with monkeypatch.context() as patches:
        left = moment(patches, path, change)
        report = run_dataset(source)
        assert not left, "the file was never read"
    assert all(shard.published for shard in report.shards)
    assert_next_run_is_right(source, tmp_path)


def test_a_file_written_all_the_time_is_right_once_it_rests(source, tmp_path, monkeypatch):
    path = tmp_path / "raw" / KEY
    for number in range(3):
        with monkeypatch.context() as patches:
            while_reading(patches, path, lambda path, number=number: path.write_bytes(image_bytes(70 + number)))
            run_dataset(source)
    assert_next_run_is_right(source, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a superuser can be made to obey file modes")
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_a_file_that_may_not_be_read_is_a_failed_image(known, source, zygote, tmp_path):
    path = tmp_path / "raw" / KEY
    if known:
        run_dataset(source)
        path.write_bytes(image_bytes(80))
    path.chmod(0)
    result = zygote.run(Job(source, tmp_path / "child", obey_modes=True))[0]
    path.chmod(0o644)
    assert (result.error, result.signal) == (None, 0), result.traceback
    assert f"failed '{KEY}': unreadable (Permission denied)" in (tmp_path / "store/logs/pipeline.log").read_text()
    assert_next_run_is_right(source, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a superuser can be made to obey file modes")
def test_a_folder_that_may_not_be_listed_stops_the_run_and_deletes_nothing(source, zygote, tmp_path):
    before = run_dataset(source)
    (tmp_path / "raw/a").chmod(0)
    result = zygote.run(Job(source, tmp_path / "child", obey_modes=True))[0]
    (tmp_path / "raw/a").chmod(0o755)
    assert (result.error, "cannot be listed: Permission denied" in result.text) == ("SourceError", True), result.text
    assert run_dataset(source).index.head == before.index.head
