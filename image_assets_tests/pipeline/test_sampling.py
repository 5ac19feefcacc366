"""A sample of a dataset as rows, keys and files, and the report on a dataset or a sample."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from image_assets.cli import main
from image_assets.core.errors import ConfigError, DatasetError
from image_assets.pipeline.analysis import analyze_dataset
from image_assets.pipeline.exporting import ExportTarget
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.sampling import keys_of_sample, write_sample
from image_assets_tests.datasets import Look, awkward_pictures, pictures, publish_dataset
from image_assets_tests.formats.readers import AVAILABLE, READERS
from image_assets_tests.images import make_settings_for, write_images


def keys(url, fraction):
    with open_dataset(url) as dataset:
        return list(keys_of_sample(dataset, fraction))


def test_images_stay_in_a_sample_as_the_dataset_grows(tmp_path):
    publish_dataset(tmp_path / "store", pictures(40))
    before = set(keys(tmp_path / "store", 0.4))
    publish_dataset(tmp_path / "store", pictures(80))
    after = set(keys(tmp_path / "store", 0.4))
    assert before == after & {item.key for item in pictures(40)}
    assert set(keys(tmp_path / "store", 0.2)) < after
    assert len(keys(tmp_path / "store", 1)) == 80


@pytest.mark.parametrize("name", AVAILABLE)
def test_every_format_takes_a_sample(name, tmp_path):
    publish_dataset(tmp_path / "store", pictures(40), Look(variants=1))
    report = write_sample(str(tmp_path / "store"), 0.3, ExportTarget.parse(f"{tmp_path}/out", format_name=name))
    (path,) = report.output
    with open_dataset(tmp_path / "store") as dataset:
        rows = dataset.sample(0.3)
        table = dataset.table().take(rows)
        pixels = dataset.images(table)
    assert 0 < report.rows == len(rows) == 2 * report.images < report.of_rows == 80
    if name in ("csv", "json", "jsonl", "parquet"):
        assert path.read_bytes().count(b"a/0.jpg") == 2 * table["key"].to_pylist()[::2].count("a/0.jpg")
        return
    back = READERS[name](path)
    assert back.filenames == table["key"].to_pylist()
    np.testing.assert_array_equal(back.images, pixels)


def test_equal_samples_have_equal_digests_and_the_whole_has_that_of_the_dataset(tmp_path):
    publish_dataset(tmp_path / "store", pictures(9))
    reports = [write_sample(str(tmp_path / "store"), part, tmp_path / "keys.txt") for part in (1, 0.5, 0.5)]
    with open_dataset(tmp_path / "store") as dataset:
        assert reports[0].digest == dataset.digest
    assert reports[1] == reports[2] != reports[0]
    assert (tmp_path / "keys.txt").read_text().splitlines() == keys(tmp_path / "store", 0.5)


def test_a_key_of_two_lines_is_refused_in_a_list_and_leaves_the_old_one(tmp_path):
    publish_dataset(tmp_path / "store", awkward_pictures())
    (tmp_path / "keys.txt").write_text("old")
    with pytest.raises(ConfigError, match=r"has a line break, .* write a \.csv"):
        write_sample(str(tmp_path / "store"), 1, tmp_path / "keys.txt")
    assert (tmp_path / "keys.txt").read_text() == "old"
    with pytest.raises(ConfigError, match="a fraction of 2 is no sample"):
        write_sample(str(tmp_path / "store"), 2, tmp_path / "keys.txt")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysis")
    write_images(folder / "raw", 12)
    (folder / "raw/a/bad.png").write_bytes(b"no image")
    (folder / "raw/a/cut.jpg").write_bytes((folder / "raw/a/0.jpg").read_bytes()[:300])
    settings = make_settings_for(folder, num_shards=2, augment={"variants": 1})
    run_dataset(settings)
    return settings


def test_a_report_counts_what_was_published_and_what_failed(settings):
    report = analyze_dataset(settings)
    assert (report["images"], report["failed_images"], report["rows"]) == (14, 2, 24)
    assert sum(report["failed_reasons"].values()) == 2
    assert report["label_counts"] == {"a": 6, "b": 6}
    assert report["raw_formats"] == {"JPEG": 12}
    assert report["raw_width_px"]["median"] == 40
    assert report["raw_aspect_ratio"]["max"] == pytest.approx(4 / 3, abs=1e-3)
    assert json.dumps(report)


def test_a_report_on_a_sample_counts_the_sample(settings):
    part = analyze_dataset(settings, 0.5)
    with open_dataset(settings.store) as dataset:
        assert part["rows"] == len(dataset.sample(0.5))
    assert part["images"] - part["failed_images"] == part["rows"] / 2
    assert 0 < part["images"] < 14


def test_what_was_measured_of_pixels_is_in_the_report(settings):
    from image_assets.pipeline.quality import build_quality

    assert "brightness" not in analyze_dataset(settings)
    build_quality(settings)
    report = analyze_dataset(settings)
    assert 0 <= report["brightness"]["min"] <= report["brightness"]["max"] <= 255
    assert isinstance(report["issues"], dict)


def test_an_empty_dataset_has_a_report_and_nothing_published_has_none(tmp_path):
    publish_dataset(tmp_path / "store", [])
    empty = make_settings_for(tmp_path, name="tiny", store="store")
    report = analyze_dataset(empty, 0.5)
    assert (report["images"], report["rows"], report["raw_width_px"]) == (0, 0, {})
    with pytest.raises(DatasetError, match="no published dataset"):
        analyze_dataset(make_settings_for(tmp_path, store="nowhere"))


def test_the_commands_print_keys_and_reports(settings, tmp_path):
    content = {"name": settings.name, "source": {"path": settings.source.path}, "store": settings.store}
    (tmp_path / "c.yaml").write_text(json.dumps(content))
    config = ["--config", str(tmp_path / "c.yaml")]
    printed = CliRunner().invoke(main, ["sample", "--fraction", "0.5", *config])
    assert printed.stdout.splitlines() == keys(settings.store, 0.5)
    written = CliRunner().invoke(
        main, ["sample", "--fraction", "0.5", "--out", str(tmp_path / "t.tar"), "--json", *config]
    )
    assert json.loads(written.stdout)["output"] == [str(tmp_path / "t.tar")]
    assert Path(tmp_path / "t.tar").stat().st_size > 1024
    told = CliRunner().invoke(main, ["analyze", "--fraction", "0.5", *config])
    assert "raw_formats" in told.stdout
    wrong = CliRunner().invoke(main, ["analyze", "--fraction", "7", *config])
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        "image-assets: a fraction of 7 is no sample; give more than 0 and at most 1\n",
    )
