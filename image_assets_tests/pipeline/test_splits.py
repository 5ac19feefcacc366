"""Splits of real datasets: kept through every change, through kills, through forgetting, and in every reader."""

import json
import shutil
import tarfile
from collections import Counter
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.loaders.samples import LoadOptions, SampleReader
from image_assets.loaders.snapshot import PinnedSnapshot
from image_assets.pipeline import splitting
from image_assets.pipeline.differences import diff_summary
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.resharding import reshard_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.settings import Settings
from image_assets.settings.images import AugmentSettings
from image_assets.storage import splits as ledger
from image_assets.storage.splits import no_pins, pin_numbers, read_pins, replace_pins
from image_assets.storage.store import Store
from image_assets_tests.images import make_settings_for
from image_assets_tests.kills import KilledError, killed_at_write
from image_assets_tests.pipeline.test_duplicates import put

HALVES = {"train": 0.5, "val": 0.25, "test": 0.25}
ANY_LOSS = {"lost_fraction": {"error": 1.0}}


def settings_for(folder: Path, **splits: Any) -> Settings:
    overrides = {"image": {"width_px": 64, "height_px": 64}, "checks": ANY_LOSS}
    return make_settings_for(folder, **overrides, splits={"method": "fractions", "fractions": HALVES, **splits})


def put_many(folder: Path, count: int = 12, first: int = 0) -> None:
    for number in range(first, first + count):
        put(folder, f"{'ab'[number % 2]}/{number:02}.png", number)


def splits_of(settings: Settings) -> dict[str, str | None]:
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["key", "split"])
    return dict(zip(rows["key"].to_pylist(), rows["split"].to_pylist(), strict=True))


def verdicts_of(settings: Settings) -> dict[str, Any]:
    return {verdict.check: verdict for verdict in build_index(settings).verdicts}


def first_in(settings: Settings, split: str) -> tuple[str, int]:
    """The first key of a split, and the number of its picture."""
    key = min(key for key, name in splits_of(settings).items() if name == split)
    return key, int(Path(key).stem)


def test_every_label_has_its_share_and_growing_moves_nobody(tmp_path):
    settings = settings_for(tmp_path)
    put_many(tmp_path, 8)
    run_dataset(settings)
    before = splits_of(settings)
    assert Counter((key[0], name) for key, name in before.items()) == {
        (label, name): 2 if name == "train" else 1 for label in "ab" for name in HALVES
    }
    put_many(tmp_path, 8, first=8)
    report = run_dataset(settings)
    after = splits_of(settings)
    assert {key: after[key] for key in before} == before
    assert Counter(after.values()) == {"train": 8, "val": 4, "test": 4}
    assert all(verdict.passed for verdict in report.index.verdicts)
    assert (report.counts.decoded, run_dataset(settings).index.published) == (8, False)


def test_copies_and_near_copies_go_where_the_first_is_and_edits_stay_where_their_key_was(tmp_path):
    settings = settings_for(tmp_path)
    put_many(tmp_path)
    run_dataset(settings)
    key, number = first_in(settings, "test")
    shutil.copy(tmp_path / "raw" / key, tmp_path / "raw/b/copy.png")
    put(tmp_path, "a/smaller.jpg", number, size_px=60, quality=80)
    put(tmp_path, first_in(settings, "val")[0], 77)
    edited = first_in(settings, "val")[0]
    run_dataset(settings)
    found = splits_of(settings)
    assert {found[key], found["b/copy.png"], found["a/smaller.jpg"]} == {"test"}
    assert found[edited] == "val"
    # Gone and back again, under another name.
    content = (tmp_path / "raw" / key).read_bytes()
    for gone in (key, "b/copy.png", "a/smaller.jpg"):
        (tmp_path / "raw" / gone).unlink()
    run_dataset(settings)
    (tmp_path / "raw/a/back.png").write_bytes(content)
    run_dataset(settings)
    assert splits_of(settings)["a/back.png"] == "test"


def test_what_ties_two_splits_together_is_quarantined_and_told_and_comes_back_when_the_tie_is_gone(tmp_path):
    settings = settings_for(tmp_path, group_by="folder")
    put_many(tmp_path)
    for key in sorted((tmp_path / "raw").rglob("*.png")):
        (tmp_path / "raw" / key.stem).mkdir()
        key.rename(tmp_path / "raw" / key.stem / key.name)
    run_dataset(settings)
    before = splits_of(settings)
    trained, measured = first_in(settings, "train")[0], first_in(settings, "test")[0]
    # One more image in the folder of each ties the two folders together by being a copy.
    for folder in (trained, measured):
        put(tmp_path, f"{Path(folder).parent}/tie.png", 50)
    run_dataset(settings)
    tied = splits_of(settings)
    ties = [f"{Path(folder).parent}/tie.png" for folder in (trained, measured)]
    assert (tied[trained], tied[measured], [tied[tie] for tie in ties]) == ("train", "quarantine", ["quarantine"] * 2)
    assert {key: tied[key] for key in before if key != measured} == {k: v for k, v in before.items() if k != measured}
    verdicts = verdicts_of(settings)
    assert (verdicts["nothing_quarantined"].passed, verdicts["no_leakage"].passed) == (False, True)
    assert verdicts["nothing_quarantined"].numbers["quarantined"] == 3
    said = diff_summary(settings, 1, 2)
    assert (said["added"], said["relabelled"]) == (sorted(ties), [])
    assert said["resplit"] == [{"key": measured, "from": "test", "to": "quarantine"}]
    for tie in ties:
        (tmp_path / "raw" / tie).unlink()
    run_dataset(settings)
    assert splits_of(settings) == before


def test_forgetting_an_image_ends_the_tie_that_it_was_without_being_a_duplicate(tmp_path):
    settings = settings_for(tmp_path, group_by="folder")
    for number in range(8):
        put(tmp_path, f"{number}/{number}.png", number)
    run_dataset(settings)
    trained, measured = first_in(settings, "train")[0], first_in(settings, "test")[0]
    moved = f"{Path(trained).parent}/moved.png"
    (tmp_path / "raw" / measured).rename(tmp_path / "raw" / moved)
    run_dataset(settings)
    assert splits_of(settings)[moved] == "quarantine"
    forget_images(settings, [trained])
    assert splits_of(settings)[moved] == "test"


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (
            {"method": "column", "column": "top_folder"},
            {"train/1.png": "train", "validation/2.png": "val", "3.png": None},
        ),
        (
            {"method": "time", "test_from": "2020-01-01"},
            {"train/1.png": "train", "validation/2.png": "test", "3.png": None},
        ),
    ],
)
def test_a_column_or_the_time_can_say_it_and_what_nobody_says_is_told(tmp_path, splits, expected):
    for key, year in (("train/1.png", 2019), ("validation/2.png", 2021), ("3.png", None)):
        path = put(tmp_path, key, len(key))
        if year is not None:
            exif = Image.Exif()
            exif[0x8769] = {0x9003: f"{year}:05:01 12:00:00"}
            with Image.open(path) as image:
                image.load()
            image.save(path, exif=exif)
    settings = settings_for(tmp_path, **splits)
    run_dataset(settings)
    assert splits_of(settings) == expected
    verdict = verdicts_of(settings)["nothing_quarantined"]
    assert (verdict.passed, verdict.numbers["unsplit"]) == (False, 1)
    assert pin_numbers(Store(settings.store)) == []


def test_a_date_of_yaml_is_a_time(tmp_path):
    settings = settings_for(tmp_path, method="time", val_from=date(2026, 6, 1), test_from=datetime(2026, 9, 1, 12))
    assert (settings.splits.val_from, settings.splits.test_from) == ("2026-06-01", "2026-09-01T12:00:00")


def test_a_leak_stops_the_index_from_being_published(tmp_path, monkeypatch):
    settings = settings_for(tmp_path)
    put_many(tmp_path, 6)
    run_dataset(settings)
    for number in range(6):
        put(tmp_path, f"a/copy {number}.png", number)
    # What decides the splits believes every image to be alone.
    monkeypatch.setattr(splitting, "units_of", lambda values: np.arange(len(values)))
    monkeypatch.setattr(splitting, "read_pins", lambda store: (read_pins(store)[0], no_pins()))
    report = run_dataset(settings)
    assert not report.index.published
    assert "more than one split" in report.index.why
    assert set(splits_of(settings)) == {f"{'ab'[number % 2]}/{number:02}.png" for number in range(6)}


def test_killed_at_any_write_the_next_run_ends_with_the_same_splits(tmp_path):
    settings = settings_for(tmp_path)
    put_many(tmp_path, 6)
    run_dataset(settings)
    expected = None
    for write in range(0, 14, 3):
        again = settings.model_copy(update={"store": str(tmp_path / f"store-{write}")})
        shutil.copytree(settings.store, again.store)
        put_many(tmp_path, 6, first=6)
        with suppress(KilledError), killed_at_write(write, after=bool(write % 2)):
            run_dataset(again)
        run_dataset(again)
        expected = expected or splits_of(again)
        assert splits_of(again) == expected


def test_what_is_forgotten_is_in_no_pin_and_names_no_group(tmp_path):
    settings = settings_for(tmp_path)
    put_many(tmp_path)
    for size_px in (50, 80):
        put(tmp_path, f"a/{size_px} of 3.png", 3, size_px=size_px)
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        rows = {row["key"]: row for row in dataset.table(["key", "id", "sha256", "group", "split"]).to_pylist()}
    (group,) = {row["group"] for row in rows.values()} - {None}
    named = next(key for key, row in rows.items() if row["id"] == group)
    forget_images(settings, [named])
    (tmp_path / "raw" / named).unlink()
    pins = read_pins(Store(settings.store))[1]
    assert len(pins.splits) == len(rows) - 1
    traces = bytes.fromhex(rows[named]["sha256"][:32]), bytes.fromhex(group)
    for path in Path(settings.store, "splits").iterdir():
        assert not any(trace in path.read_bytes() for trace in traces)
        table = pq.read_table(path)
        assert not set(traces) & {*table["content"].to_pylist(), *table["id"].to_pylist()}
    for path in [*Path(settings.store, "index").iterdir(), Path(settings.store, "index.parquet")]:
        assert group not in pq.read_table(path)["group"].to_pylist()
    left = {key: row["split"] for key, row in rows.items() if key != named}
    assert splits_of(settings) == left
    assert run_dataset(settings).index.published is False


def test_many_small_files_of_pins_become_one_and_vacuum_removes_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "_WHOLE_EVERY", 4)
    settings = settings_for(tmp_path)
    for count in range(1, 7):
        put_many(tmp_path, count)
        run_dataset(settings)
    before = splits_of(settings)
    assert len(pin_numbers(Store(settings.store))) == 6
    vacuum_dataset(settings, Retention(keep=1), compact=True, dry_run=False)
    assert pin_numbers(Store(settings.store)) == [4, 5, 6]
    shutil.rmtree(Path(settings.store, "index"))
    run_dataset(settings)
    assert splits_of(settings) == before


def test_two_that_pin_at_once_both_count(tmp_path):
    store = Store(str(tmp_path / "store"))
    newest, pins = read_pins(store)
    assert replace_pins(store, newest, pins)
    assert not replace_pins(store, newest, pins)
    assert not ledger.add_pins(store, newest, pins)
    assert ledger.add_pins(store, newest + 1, pins)


def test_other_shards_other_sizes_and_other_fractions_move_nobody(tmp_path):
    settings = settings_for(tmp_path)
    put_many(tmp_path)
    run_dataset(settings)
    before, digest = splits_of(settings), open_dataset(settings.store).digest
    reshard_dataset(settings, 2)
    resharded = settings.model_copy(update={"num_shards": 2})
    assert (splits_of(resharded), open_dataset(settings.store).digest) == (before, digest)
    all_train = {"method": "fractions", "fractions": {"train": 1, "val": 0, "test": 0}}
    size = {"width_px": 72, "height_px": 72}
    other = make_settings_for(tmp_path, num_shards=2, checks=ANY_LOSS, image=size, splits=all_train)
    run_dataset(other)
    assert splits_of(other) == before
    put_many(tmp_path, 4, first=20)
    run_dataset(other)
    assert {name for key, name in splits_of(other).items() if key not in before} == {"train"}


def test_switched_off_the_rows_are_what_they_were_before_there_were_splits(tmp_path):
    put_many(tmp_path, 6)
    plain = make_settings_for(tmp_path, image={"width_px": 64, "height_px": 64})
    run_dataset(plain)
    digest = open_dataset(plain.store).digest
    run_dataset(settings_for(tmp_path))
    assert open_dataset(plain.store).digest != digest
    report = run_dataset(plain)
    assert (report.index.published, open_dataset(plain.store).digest) == (True, digest)


def test_readers_get_a_split_and_augmented_variants_only_to_train_with(tmp_path):
    put_many(tmp_path)
    settings = settings_for(tmp_path).model_copy(update={"augment": AugmentSettings(variants=2)})
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["split", "variant"]).to_pylist()
        train, val = dataset.split_rows("train"), dataset.split_rows("val")
        assert [rows[row]["split"] for row in train] == ["train"] * 18
        assert [(rows[row]["split"], rows[row]["variant"]) for row in val] == [("val", 0)] * 3
        assert len(dataset.split_rows("val", augmented=True)) == 9
        assert len(dataset.split_rows("train", augmented=False)) == 6
        options = LoadOptions(split="val", columns=("split",))
        reader = SampleReader(PinnedSnapshot(dataset, options.chosen_of(dataset)), options, kept_rows=100)
        assert [sample["split"] for sample in reader.read(range(3), 0)] == ["val"] * 3
        with pytest.raises(ConfigError, match="unknown split 'dev'; known: train, val, test, quarantine"):
            dataset.split_rows("dev")
        with pytest.raises(ConfigError, match="give one of them"):
            LoadOptions(rows=[1], split="val").check(dataset.columns, 3)
    run_dataset(make_settings_for(tmp_path, checks=ANY_LOSS))
    with open_dataset(settings.store) as dataset, pytest.raises(DatasetError, match="has no splits; set"):
        dataset.split_rows("train")


def test_exports_are_written_by_split_and_only_what_changed(tmp_path):
    put_many(tmp_path)
    settings = settings_for(tmp_path).model_copy(
        update={"exports": ("csv", "huggingface", "webdataset"), "num_shards": 1}
    )
    run_dataset(settings)
    exports = tmp_path / "store/exports"
    before = {path.name: path.stat().st_mtime_ns for path in (exports / "webdataset").glob("*.tar")}
    assert set(before) == {f"{split}-00000-of-00001.tar" for split in ("train", "val", "test")}
    for split, name in zip(HALVES, ("train", "validation", "test"), strict=True):
        keys = pq.read_table(exports / f"huggingface/{split}-00000-of-00001.parquet")["filename"].to_pylist()
        assert set(keys) == {key for key, found in splits_of(settings).items() if found == split}
        assert f"split: {name}\n" in (exports / "huggingface/README.md").read_text()
    with tarfile.open(exports / "webdataset/test-00000-of-00001.tar") as tar:
        said = [json.loads(tar.extractfile(member).read()) for member in tar if member.name.endswith(".json")]
    assert {one["split"] for one in said} == {"test"}
    assert "split" in (exports / "index.csv").read_text().split("\n")[0].split(",")
    # One more image: the files of the other splits are not written again.
    put(tmp_path, "a/more.png", 40)
    run_dataset(settings)
    after = {path.name: path.stat().st_mtime_ns for path in (exports / "webdataset").glob("*.tar")}
    its_split = splits_of(settings)["a/more.png"]
    assert {name for name in after if after[name] != before[name]} == {f"{its_split}-00000-of-00001.tar"}


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"fractions": {"train": 0.5, "val": 0.1, "test": 0.1}}, "add up to 0.7, not to 1"),
        ({"method": "column"}, "needs splits.column"),
        ({"method": "time"}, "goes with splits.val_from or splits.test_from"),
        ({"method": "time", "test_from": "tomorrow"}, "'tomorrow' is no time"),
        ({"method": "time", "val_from": "2024-02-01", "test_from": "2024-01-01"}, "is after splits.test_from"),
        # Texts do not compare as times do.
        ({"method": "time", "val_from": "20240601", "test_from": "2024-05-01"}, "is after splits.test_from"),
        ({"group_by": "width_px"}, "splits.group_by"),
        ({"group_by": "extra.patiant"}, "no image has extra.patiant"),
        ({"column": "folder"}, "goes with splits.method: column or time"),
        ({"method": "none", "group_by": "folder"}, "wants a splits.method"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path, splits, said):
    with pytest.raises(ConfigError, match=said):
        settings_for(tmp_path, **splits)
