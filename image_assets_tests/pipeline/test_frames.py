"""`image.frames: all` through the whole job: animated images, stills and documents of several pages in one dataset."""

import numpy as np
import pytest
from PIL import Image

from image_assets.pipeline.differences import diff_snapshots
from image_assets.pipeline.inspection import inspect_files
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.pipeline.verify import verify_dataset
from image_assets.storage.store import Store
from image_assets_tests.transforms.pictures import file_of, photo

ALL = {"image": {"frames": "all"}, "augment": {"variants": 1}, "features": {"extractor": "colour-moments"}}
FRAMES = {"a/moving.gif": 4, "b/still.jpg": 1, "c/pages.tif": 3}
KEYS = [(key, number) for key, frames in FRAMES.items() for number in range(2 * frames)]


@pytest.fixture
def raw(settings, tmp_path):
    pictures = [Image.fromarray(photo(40, 30, seed=seed)) for seed in range(8)]
    few = [picture.quantize(32) for picture in pictures[:4]]
    files = {
        "a/moving.gif": file_of(few[0], "GIF", save_all=True, append_images=few[1:], duration=50),
        "b/still.jpg": file_of(pictures[4], "JPEG"),
        "c/pages.tif": file_of(pictures[5], "TIFF", save_all=True, append_images=pictures[6:]),
    }
    for key, data in files.items():
        path = tmp_path / "raw" / key
        path.parent.mkdir()
        path.write_bytes(data)
    return tmp_path / "raw"


def rows_of(options):
    with open_dataset(options.store) as dataset:
        return sorted(zip(*(dataset.table()[name].to_pylist() for name in ("key", "variant", "frame")), strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_frame_has_its_outputs_with_any_number_of_workers(settings, raw, tmp_path, workers):
    digest = run_dataset(settings(**ALL)).index.head.digest
    options = settings(**ALL, workers=workers, num_shards=1, store=str(tmp_path / "other"))
    report = run_dataset(options)
    assert report.index.head.digest == digest
    assert (report.counts.decoded, report.embedded) == (3, 16)
    assert rows_of(options) == [(key, number, number // 2) for key, number in KEYS]
    assert verify_dataset(options).problems == ()


def test_each_row_has_the_pixels_of_its_frame(settings, raw, tmp_path):
    options = settings(**{**ALL, "output": {"format": "png"}, "augment": {"variants": 0}})
    run_dataset(options)
    with open_dataset(options.store) as dataset:
        assert dataset.columns[-1] == "frame"
        pages = [row for row in (dataset[number] for number in range(len(dataset))) if row["key"] == "c/pages.tif"]
        batches = [dict(batch) for batch in dataset.batches(batch_size=3, columns=["key", "frame"])]
    assert [row["frame"] for row in pages] == [0, 1, 2]
    assert sorted(int(frame) for batch in batches for frame in batch["frame"]) == [0, 0, 0, 1, 1, 2, 2, 3]
    means = [row["image"].mean() for row in pages]
    with Image.open(raw / "c/pages.tif") as file:
        for number, mean in enumerate(means):
            file.seek(number)
            cut = np.asarray(file.convert("RGB"))[:, 5:35]
            assert abs(cut.mean() - mean) < 2


def test_first_to_all_makes_everything_anew_and_a_rename_nothing(settings, raw):
    first = run_dataset(settings(**{**ALL, "image": {"frames": "first"}}))
    assert first.index.head.rows == 6
    both = run_dataset(settings(**ALL))
    assert (both.counts.reencoded, both.counts.decoded, both.index.head.rows) == (3, 3, 16)
    (raw / "a/moving.gif").rename(raw / "a/renamed.gif")
    moved = run_dataset(settings(**ALL))
    assert (moved.counts.moved, moved.counts.decoded, moved.embedded) == (1, 0, 0)
    assert moved.index.head.rows == 16
    (raw / "a/copy.gif").write_bytes((raw / "a/renamed.gif").read_bytes())
    copied = run_dataset(settings(**ALL))
    assert (copied.counts.moved, copied.counts.decoded, copied.index.head.rows) == (1, 0, 24)
    diff = diff_snapshots(Store(settings().store), both.index.head.number, moved.index.head.number)
    assert (diff.added, diff.removed, diff.changed) == ((), (), ())
    assert [(move.old_key, move.new_key) for move in diff.moved] == [("a/moving.gif", "a/renamed.gif")]


def test_a_broken_last_frame_fails_the_whole_image(settings, raw):
    whole = (raw / "a/moving.gif").read_bytes()
    (raw / "a/moving.gif").write_bytes(whole[:-200])
    report = run_dataset(settings(**ALL))
    assert (report.counts.failed, report.index.head.rows) == (1, 8)
    (entry,) = quarantine_summary(settings(**ALL))["quarantine"]
    assert (entry["key"], entry["reason"]) == ("a/moving.gif", "truncated")
    assert run_dataset(settings(**{**ALL, "image": {"frames": "first"}})).counts.failed == 0


def test_a_plan_counts_a_new_image_as_one_frame_and_says_the_rest(settings, raw):
    planned = plan_dataset(settings(**ALL))
    assert (planned.counts.new, planned.counts.decoded, planned.embedded) == (3, 3, 6)
    run_dataset(settings(**ALL))
    assert plan_dataset(settings(**ALL)).counts.kept == 3


def test_compaction_keeps_all_frames(settings, raw):
    options = settings(**ALL)
    digest = run_dataset(options).index.head.digest
    (raw / "b/more.png").write_bytes(file_of(photo(40, 30, seed=11), "PNG"))
    before = run_dataset(options).index.head
    report = vacuum_dataset(options, Retention(keep=1), compact=True, dry_run=False)
    assert report.compacted_segments > 1
    with open_dataset(options.store) as dataset:
        assert (dataset.digest, len(dataset)) == (before.digest, 18)
        assert all(dataset.image(row).shape == (16, 16, 3) for row in range(18))
    (raw / "b/more.png").unlink()
    assert run_dataset(options).index.head.digest == digest


@pytest.mark.parametrize(("frames", "flags"), [("first", ["animated"]), ("all", [])])
def test_inspect_says_how_many_frames_there_are(settings, raw, frames, flags):
    options = settings(image={"frames": frames}, augment={"variants": 1})
    found = [item.report for item in inspect_files(options, [str(raw / key) for key in FRAMES])]
    assert [report["frames"] for report in found] == [4, 1, 3]
    assert [report["flags"] for report in found] == [flags, [], flags]


def test_exports_have_a_column_for_frames_when_all_are_there(settings, raw, tmp_path):
    run_dataset(settings(**ALL, exports=["csv", "json", "numpy", "hdf5", "parquet"]))
    exports = tmp_path / "store/exports"
    head, *lines = (exports / "index.csv").read_text().splitlines()
    assert head == "filename,label,width,height,format,variant,frame"
    assert sorted(lines)[7] == "a/moving.gif,a,16,16,jpeg,7,3"
    for path in (exports / "numpy").glob("*.npz"):
        with np.load(path) as arrays:
            np.testing.assert_array_equal(arrays["frames"], arrays["variants"] // 2)
    run_dataset(settings(**{**ALL, "image": {"frames": "first"}}, exports=["csv", "numpy"]))
    assert (exports / "index.csv").read_text().splitlines()[0] == "filename,label,width,height,format,variant"
    for path in (exports / "numpy").glob("*.npz"):
        with np.load(path) as arrays:
            assert "frames" not in arrays
