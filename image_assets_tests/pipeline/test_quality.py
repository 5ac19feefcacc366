"""The quality of real datasets: what is measured and said of each row, through every history, and in every file.

The suite tries one history; this tries so many:

    QUALITY_HISTORIES=100 python -m pytest image_assets_tests/pipeline/test_quality.py -k history
"""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from image_assets.cli import main
from image_assets.core.errors import ConfigError, DatasetError, StoreError
from image_assets.formats.base import ExportOptions
from image_assets.loaders import LoadOptions, to_torch
from image_assets.pipeline.exporting import export_file
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.quality import build_quality, quality_version
from image_assets.pipeline.quality_summary import quality_summary
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.settings import Settings
from image_assets_tests.images import make_settings_for
from image_assets_tests.kills import KilledError, killed_at_write

ON: dict[str, Any] = {
    "quality": {"enabled": True, "min_images": 1, "bright": {"white_fraction": 0.6}},
    "image": {"width_px": 48, "height_px": 48},
    "output": {"format": "png"},
    "checks": {"lost_fraction": {"error": 1.0}},
}
NAMES = ("image_quality.parquet", "dataset_statistics.parquet")


def put(folder: Path, key: str, number: int, **options: Any) -> Path:
    """Write a picture with sharp edges that depends on its number alone."""
    pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), np.uint8)
    size = options.pop("size", (96, 96))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
    return save(folder, key, options.pop("change", lambda image: image)(image), **options)


def save(folder: Path, key: str, image: Image.Image, **options: Any) -> Path:
    path = folder / "raw" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def put_examples(folder: Path, **overrides: Any) -> Settings:
    """One of each issue, and three without any."""
    for number in range(3):
        put(folder, f"a/{number}.png", number)
    put(folder, "b/dark.png", 10, change=lambda image: image.point(lambda level: level // 4))
    put(folder, "b/bright.png", 11, change=lambda image: image.point(lambda level: 255 if level > 24 else level))
    put(
        folder, "b/blurry.png", 12, change=lambda image: image.resize((6, 6)).resize((96, 96), Image.Resampling.BICUBIC)
    )
    put(folder, "b/gray.png", 13, change=lambda image: image.convert("L"))
    put(folder, "b/strip.png", 14, size=(400, 96))
    put(folder, "b/tiny.png", 15, size=(12, 12))
    save(folder, "b/flat.png", Image.new("RGB", (96, 96), (180, 90, 60)))
    put(folder, "wrong.jpg", 16, format="PNG")
    shutil.copy(folder / "raw/a/0.png", folder / "raw/a/0 again.png")
    return make_settings_for(folder, **{**ON, **overrides})


ISSUES = {
    "b/dark.png": ["dark"],
    "b/bright.png": ["bright"],
    "b/blurry.png": ["blurry"],
    "b/gray.png": ["grayscale"],
    "b/strip.png": ["odd_aspect_ratio"],
    "b/tiny.png": ["odd_size"],
    "b/flat.png": ["low_information"],
    "wrong.jpg": ["wrong_extension"],
}


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    """What is said of each row of the index, with its key and variant."""
    with open_dataset(settings.store) as dataset:
        index = dataset.table(["id", "key", "variant"]).to_pylist()
    said = pq.read_table(Path(settings.store, NAMES[0])).to_pylist()
    assert [row["id"] for row in said] == [row["id"] for row in index]
    return [{**one, **row} for one, row in zip(said, index, strict=True)]


def published(settings: Settings) -> dict[str, Any]:
    """What is published but for what depends on the way there: index numbers, and the snapshot compared with."""
    store = Path(settings.store)
    statistics = pq.read_table(store / NAMES[1]).replace_schema_metadata(None).to_pylist()
    return {
        "rows": pq.read_table(store / NAMES[0]).replace_schema_metadata(None).to_pydict(),
        "statistics": [row for row in statistics if row["part"] != "baseline"],
    }


def from_scratch(settings: Settings) -> dict[str, Any]:
    """The same of a dataset that is made at once."""
    fresh = settings.model_copy(update={"store": f"{settings.store}-fresh"})
    run_dataset(fresh)
    found = published(fresh)
    shutil.rmtree(fresh.store)
    return found


def verdict_of(settings: Settings, check: str) -> dict[str, Any]:
    (found,) = (said for said in quality_summary(settings, worst=0)["checks"] if said["check"] == check)
    return found


def test_each_issue_is_found_and_nothing_else(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    assert {row["key"]: row["issues"] for row in rows_of(settings) if row["issues"]} == ISSUES
    summary = quality_summary(settings, worst=5)
    assert {image["key"]: [name] for name, images in summary["worst"].items() for image in images} == ISSUES
    assert (summary["exact_duplicates"], summary["images"], summary["labels"]) == (1, 12, {"a": 4, "b": 7})
    assert quality_summary(settings, worst=0)["worst"]["dark"] == []


def test_the_mean_and_deviation_of_the_channels_are_those_of_all_pixels(tmp_path):
    settings = put_examples(tmp_path, augment={"variants": 1}, splits={"method": "fractions"})
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        split_of = dataset.table(["split"])["split"].to_pylist()
        plain = [row for row in range(len(dataset)) if dataset.values(row, ["variant"])["variant"] == 0]
        pixels = np.stack([dataset.image(row) for row in plain]).reshape(-1, 3) / 255
        training = np.stack([dataset.image(row) for row in plain if split_of[row] == "train"]).reshape(-1, 3) / 255
        found, trained = dataset.channel_statistics(), dataset.channel_statistics(split="train")
        with pytest.raises(DatasetError, match="no image in split 'tests'"):
            dataset.channel_statistics(split="tests")
        (batch,) = dataset.batches(batch_size=100, normalization="dataset")
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(axis=0), rtol=1e-9)
    assert trained.images < found.images == 12
    np.testing.assert_allclose(trained.mean, training.mean(axis=0), rtol=1e-12)
    normalised = batch["image"][plain].reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=0), 1, atol=1e-5)
    export_file(settings.store, "numpy", tmp_path / "all.npz", ExportOptions(normalization="dataset"))
    with np.load(tmp_path / "all.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], batch["image"])


def test_a_loader_normalises_by_the_dataset(tmp_path):
    pytest.importorskip("torch")
    settings = put_examples(tmp_path)
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        samples = to_torch(dataset, LoadOptions(normalization="dataset"))
        (batch,) = dataset.batches(batch_size=100, normalization="dataset")
        np.testing.assert_array_equal(samples[3]["image"].numpy(), np.moveaxis(batch["image"][3], -1, 0))


def test_an_older_snapshot_has_its_own_mean(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        first = dataset.channel_statistics()
    put(tmp_path, "c/white.png", 1, change=lambda image: image.point(lambda _: 255))
    run_dataset(settings)
    with open_dataset(settings.store, snapshot=1) as old, open_dataset(settings.store) as new:
        assert old.channel_statistics() == first
        # Twelve images, and one more whose every pixel is 1.
        np.testing.assert_allclose(new.channel_statistics().mean, (12 * np.array(first.mean) + 1) / 13, rtol=1e-12)


def test_what_was_never_measured_has_no_mean_and_says_what_would_do(tmp_path):
    settings = put_examples(tmp_path, quality={"enabled": False})
    run_dataset(settings)
    assert not any(Path(settings.store, name).exists() for name in NAMES)
    with open_dataset(settings.store) as dataset:
        with pytest.raises(
            DatasetError, match=r"12 of the 12 images of snapshot 1 .* `image-assets quality` does that"
        ):
            dataset.channel_statistics()
        build_quality(settings)
        assert dataset.channel_statistics().images == 12


def test_images_that_are_all_one_colour_cannot_be_normalised(tmp_path):
    save(tmp_path, "a/flat.png", Image.new("RGB", (50, 50), "red"))
    settings = make_settings_for(tmp_path, **ON)
    run_dataset(settings)
    with open_dataset(settings.store) as dataset, pytest.raises(ConfigError, match="the same in every image"):
        list(dataset.batches(normalization="dataset"))


def test_only_new_images_are_measured_and_an_index_that_stays_costs_nothing(tmp_path):
    settings = put_examples(tmp_path, quality={"enabled": False})
    run_dataset(settings)
    # Eleven: the copy has the same output.
    assert (build_quality(settings).measured, build_quality(settings).published) == (11, False)
    put(tmp_path, "c/new.png", 99)
    (tmp_path / "raw/a/1.png").rename(tmp_path / "raw/a/renamed.png")
    run_dataset(settings)
    report = build_quality(settings)
    assert (report.measured, report.published, report.statistics.whole.images) == (1, True, 13)


def test_other_thresholds_judge_anew_and_measure_nothing(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    before = published(settings)
    other = make_settings_for(tmp_path, **{**ON, "quality": {**ON["quality"], "dark": {"below_luma": 255}}})
    assert quality_version(other) != quality_version(settings)
    report = build_quality(other)
    assert (report.measured, report.published) == (0, True)
    assert report.statistics.whole.issues["dark"] > 1
    build_quality(settings)
    assert published(settings) == before


def test_variants_and_frames_say_what_their_image_does(tmp_path):
    settings = put_examples(tmp_path, augment={"variants": 2})
    run_dataset(settings)
    told: dict[str, set[Any]] = {}
    for row in rows_of(settings):
        told.setdefault(row["key"], set()).add((tuple(row["issues"]), row["blur"], row["luma_p95"]))
    assert {len(of_image) for of_image in told.values()} == {1}
    assert build_quality(settings).statistics.whole.images == 12


@pytest.mark.parametrize("seed", range(int(os.environ.get("QUALITY_HISTORIES", "1"))))
def test_after_any_history_the_statistics_are_those_of_a_dataset_from_scratch(tmp_path, seed):
    chance = random.Random(seed)
    settings = make_settings_for(tmp_path, **ON)
    put(tmp_path, "a/first.png", 0)
    for _ in range(3):
        for _ in range(5):
            side = chance.choice([12, 96])
            put(tmp_path, f"{chance.choice('ab')}/{chance.randrange(8)}.png", chance.randrange(6), size=(side, 96))
        there = sorted((tmp_path / "raw").rglob("*.*"))
        for path in chance.sample(there, min(3, len(there) - 1)):
            path.unlink()
        run_dataset(settings)
    assert published(settings) == from_scratch(settings)


def test_a_run_that_is_killed_at_any_write_measures_again_at_most_one_chunk(tmp_path):
    settings = put_examples(tmp_path, quality={"enabled": False, "min_images": 1})
    run_dataset(settings)
    build_quality(settings)
    whole = published(settings)
    for writes in range(3):
        for after in (False, True):
            shutil.rmtree(Path(settings.store, "pixel_statistics"), ignore_errors=True)
            for name in NAMES:
                Path(settings.store, name).unlink(missing_ok=True)
            with pytest.raises(KilledError), killed_at_write(writes, after=after):
                build_quality(settings)
            assert build_quality(settings).measured == (11 if (writes, after) == (0, False) else 0)
            assert published(settings) == whole


def test_what_is_forgotten_is_in_no_file_and_drift_is_told_from_what_stays(tmp_path):
    settings = put_examples(tmp_path)
    put(tmp_path, "person/only.png", 50)
    run_dataset(settings)
    put(tmp_path, "a/later.png", 60)
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        (row,) = (row for row in dataset.table(["key", "id", "output_sha256"]).to_pylist() if "only" in row["key"])
    forget_images(settings, ["person/only.png"])
    left = [*Path(settings.store).glob("pixel_statistics/*/*.parquet"), *(Path(settings.store, name) for name in NAMES)]
    for path in left:
        text = json.dumps(pq.read_table(path).to_pylist(), default=str)
        assert not any(word in text for word in (row["id"], row["output_sha256"], "person")), path
    (baseline,) = (row for row in pq.read_table(left[-1]).to_pylist() if row["part"] == "baseline")
    assert (baseline["images"], baseline["measured"]) == (12, 12)


def test_measures_go_with_the_last_image_that_has_them(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    for path in (tmp_path / "raw/b").iterdir():
        path.unlink()
    run_dataset(settings)
    vacuum_dataset(settings, Retention(keep=1), compact=True, dry_run=False)
    (chunk,) = Path(settings.store).glob("pixel_statistics/*/*.parquet")
    with open_dataset(settings.store) as dataset:
        outputs = dataset.table(["output_sha256"])["output_sha256"].to_pylist()
    assert sorted(pq.read_table(chunk)["output_sha256"].to_pylist()) == sorted(set(outputs))


def test_drift_is_told_against_the_snapshot_before_or_one_that_is_named(tmp_path):
    for number in range(45):
        put(tmp_path, f"a/{number}.png", number)
    settings = make_settings_for(tmp_path, **ON)
    run_dataset(settings)
    assert verdict_of(settings, "label_drift")["sentence"] == "Not known: there is no earlier snapshot to compare with."
    for number in range(45):
        put(tmp_path, f"b/{number}.png", number, size=(400, 400), change=lambda image: image.point(lambda x: x // 3))
    run_dataset(settings)
    assert {name: verdict_of(settings, name)["outcome"] for name in ("pixel_drift", "size_drift", "label_drift")} == {
        "pixel_drift": "failed",
        "size_drift": "failed",
        "label_drift": "failed",
    }
    put(tmp_path, "a/one more.png", 46)
    run_dataset(settings)
    assert verdict_of(settings, "pixel_drift")["outcome"] == "passed"
    pinned = make_settings_for(tmp_path, **{**ON, "quality": {**ON["quality"], "baseline": 1}})
    assert verdict_of(pinned, "pixel_drift")["sentence"].startswith("Against snapshot 1: brightness: PSI ")
    assert verdict_of(pinned, "pixel_drift")["outcome"] == "failed"
    lost = make_settings_for(tmp_path, **{**ON, "quality": {**ON["quality"], "baseline": 7}})
    verdict = verdict_of(lost, "label_drift")
    assert (verdict["outcome"], verdict["numbers"]) == ("unknown", {"known": 0})
    assert "no snapshot 7" in verdict["sentence"]


def test_near_duplicates_are_not_known_until_they_are_looked_for(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    assert verdict_of(settings, "near_duplicates")["sentence"] == (
        "Not known: near duplicates are not looked for (duplicates.enabled: false)."
    )
    looking = make_settings_for(tmp_path, **ON, duplicates={"enabled": True})
    assert "`image-assets duplicates` finds them" in verdict_of(looking, "near_duplicates")["sentence"]
    run_dataset(looking)
    assert verdict_of(looking, "near_duplicates")["sentence"].startswith("2 of 12 images look like another one")


def test_an_empty_dataset_and_a_single_image_have_statistics(tmp_path):
    path = put(tmp_path, "only.png", 1)
    settings = make_settings_for(tmp_path, **ON)
    run_dataset(settings)
    assert quality_summary(settings, worst=1)["images"] == 1
    path.write_bytes(b"no image")
    run_dataset(make_settings_for(tmp_path, **{**ON, "checks": {"failed_fraction": {"error": 1.0}}}))
    summary = quality_summary(settings, worst=1)
    assert (summary["images"], summary["channel_mean"], summary["labels"]) == (0, [], {})
    with open_dataset(settings.store) as dataset, pytest.raises(DatasetError, match="no image to take a mean of"):
        dataset.channel_statistics()


def test_a_damaged_file_is_named(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    for name in NAMES:
        Path(settings.store, name).write_bytes(b"no table")
        with pytest.raises(StoreError, match=f"{name} is damaged"):
            build_quality(settings)
        Path(settings.store, name).unlink()
        build_quality(settings)


def test_without_an_index_there_is_nothing_to_judge(tmp_path):
    with pytest.raises(DatasetError, match="no index"):
        build_quality(make_settings_for(tmp_path))


def called(settings: Settings, folder: Path, *arguments: str) -> Any:
    file = folder / "tiny.yaml"
    file.write_text(json.dumps(settings.model_dump(mode="json", exclude_unset=True)))
    return CliRunner().invoke(main, ["quality", "--config", str(file), *arguments])


def test_the_command_names_verdicts_and_the_worst_images_for_people_and_as_json(tmp_path):
    settings = put_examples(tmp_path)
    run_dataset(settings)
    done = called(settings, tmp_path)
    assert done.exit_code == 0, done.output
    assert "1 of 12 images are dark (8.3%)." in done.stdout
    assert {line.split()[-1] for line in done.stdout.splitlines()[-len(ISSUES) :]} == set(ISSUES)
    assert json.loads(called(settings, tmp_path, "--json").stdout) == quality_summary(settings, worst=5)


def test_a_check_whose_severity_is_error_fails_the_command_and_unpublishes_nothing(tmp_path):
    strict = {"max_fraction": 0.0, "severity": "error"}
    settings = put_examples(tmp_path, quality={"enabled": True, "min_flagged": 1, "dark": strict})
    assert run_dataset(settings).index is not None
    done = called(settings, tmp_path)
    assert done.exit_code == 1
    assert "More than 0% (quality.dark.max_fraction)." in done.stdout
