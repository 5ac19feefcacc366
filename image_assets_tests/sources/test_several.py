"""Several sources as one: a part that is empty or cannot be listed loses nothing and stops none of the others."""

import shutil
import time

import pytest

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.pipeline.listing_snapshots import list_in_time
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.run import run_dataset
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source
from image_assets_tests.containers import write_tar
from image_assets_tests.images import image_bytes, make_settings_for, write_image, write_images

LIMIT = 10**6


def parts_of(tmp_path, *names):
    return [{"path": str(tmp_path / name), "prefix": f"{name.partition('.')[0]}/"} for name in names]


@pytest.fixture
def dataset(tmp_path):
    """Twelve images in one folder, two each in another and in an archive."""
    write_images(tmp_path / "many", 12)
    write_images(tmp_path / "few", 2, first=20)
    write_tar(tmp_path / "packed.tar", {f"{number}.jpg": image_bytes(number) for number in (30, 31)})
    return make_settings_for(tmp_path, source=parts_of(tmp_path, "many", "few", "packed.tar"))


@pytest.mark.parametrize("trouble", ["emptied", "missing", "cut"])
def test_what_a_part_held_stays_when_it_cannot_be_seen_and_the_others_go_on(tmp_path, dataset, trouble):
    run_dataset(dataset)
    name = "packed" if trouble == "cut" else "few"
    if trouble == "cut":
        whole = (tmp_path / "packed.tar").read_bytes()
        (tmp_path / "packed.tar").write_bytes(whole[:1000])
    else:
        shutil.move(tmp_path / "few", tmp_path / "aside")
        if trouble == "emptied":
            (tmp_path / "few").mkdir()
    write_image(tmp_path, "many/a/new.jpg", 50)
    report = run_dataset(dataset)
    assert (report.counts.removed, report.counts.new, report.counts.failed, report.counts.decoded) == (0, 2, 1, 1)
    assert report.index.head.rows == 17
    (row,) = quarantine_summary(dataset)["quarantine"]
    assert (row["key"], row["reason"]) == (name, "unreadable")
    assert run_dataset(dataset).counts.kept == 18
    if trouble == "cut":
        (tmp_path / "packed.tar").write_bytes(whole)
    else:
        shutil.rmtree(tmp_path / "few", ignore_errors=True)
        shutil.move(tmp_path / "aside", tmp_path / "few")
    report = run_dataset(dataset)
    assert (report.counts.removed, report.counts.decoded, report.index.head.rows) == (1, 0, 17)
    assert quarantine_summary(dataset)["quarantine"] == []


def test_a_part_that_cannot_be_seen_is_a_row_of_its_own_with_the_reason(tmp_path):
    write_images(tmp_path / "good", 2)
    (tmp_path / "empty").mkdir()
    source = build_source(SourceSettings.model_validate(parts_of(tmp_path, "good", "empty", "none")))
    listing = source.list()
    assert sorted(listing.table["key"].to_pylist()) == ["empty", "good/a/0.jpg", "good/b/1.jpg", "none"]
    assert listing.unseen == ("empty/", "none/")
    assert all("stays" in note for note in listing.notes)
    with pytest.raises(SourceFileError, match="holds no image"):
        source.read("empty", None, max_bytes=LIMIT)
    with pytest.raises(SourceFileError, match="does not exist"):
        source.read("none", None, max_bytes=LIMIT)
    write_images(tmp_path / "empty", 1)
    with pytest.raises(VanishedError):
        source.read("empty", None, max_bytes=LIMIT)


def test_when_no_part_can_be_seen_the_source_is_in_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no image"):
        build_source(SourceSettings.model_validate(parts_of(tmp_path, "empty", "none"))).list()


@pytest.mark.parametrize("name", ["empty", "none"])
def test_a_look_of_the_sensor_sees_the_same(tmp_path, name):
    write_images(tmp_path / "good", 2)
    (tmp_path / "empty").mkdir()
    look = list_in_time(make_settings_for(tmp_path, source=parts_of(tmp_path, "good", name)), None, time.time())
    assert look.listing.unseen == (f"{name}/",)
