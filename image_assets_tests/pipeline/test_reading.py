"""A published dataset read back: rows, pixels, vectors, batches."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from image_assets import open_dataset
from image_assets.core.errors import ConfigError, DatasetError, StoreError
from image_assets.core.index import INDEX_SCHEMA
from image_assets.formats.normalize import normalize
from image_assets.pipeline.reading import Dataset
from image_assets.storage import layout
from image_assets.storage.vectors import CHUNK_ROWS
from image_assets_tests.datasets import (
    Look,
    Picture,
    pictures,
    pixels_of,
    publish_dataset,
    publish_vectors_of_newest,
)

COUNT = 11
NUMBERS = {item.key: item.number for item in pictures(COUNT)}


@pytest.fixture
def url(tmp_path: Path) -> Path:
    publish_dataset(tmp_path / "store", pictures(COUNT))
    return tmp_path / "store"


def test_every_row_has_its_own_columns_and_pixels(url: Path) -> None:
    with open_dataset(url) as dataset:
        table = dataset.table()
        assert len(dataset) == COUNT
        for number in range(COUNT):
            row = dataset[number]
            image = row.pop("image")
            assert row == table.slice(number, 1).to_pylist()[0]
            np.testing.assert_array_equal(image, pixels_of(NUMBERS[row["key"]]))
            np.testing.assert_array_equal(image, dataset.image(number))


def test_variants_have_their_own_pixels(tmp_path: Path) -> None:
    look = Look(variants=2)
    publish_dataset(tmp_path, pictures(5), look)
    with open_dataset(tmp_path) as dataset:
        assert dataset.has_variants
        for row in map(dataset.__getitem__, range(len(dataset))):
            np.testing.assert_array_equal(row["image"], pixels_of(NUMBERS[row["key"]], row["variant"], look))


def test_grayscale_images_have_one_channel(tmp_path: Path) -> None:
    look = Look(channels=1)
    publish_dataset(tmp_path, pictures(3), look)
    with open_dataset(tmp_path) as dataset:
        assert dataset.image_shape == (6, 8, 1)
        assert {dataset.image(row).shape for row in range(3)} == {(6, 8, 1)}


def test_pixels_may_be_written_to(url: Path) -> None:
    with open_dataset(url) as dataset:
        for image in (dataset.image(0), dataset[0]["image"], next(dataset.batches())["image"]):
            image[:] = 0
            assert not image.any()
        assert dataset.image(0).any()


def test_negative_rows_count_from_the_end(url: Path) -> None:
    with open_dataset(url) as dataset:
        assert dataset[-1]["id"] == dataset[COUNT - 1]["id"]
        assert dataset[-COUNT]["id"] == dataset[0]["id"]


@pytest.mark.parametrize("row", [COUNT, -COUNT - 1])
def test_rows_out_of_range_are_refused(url: Path, row: int) -> None:
    publish_vectors_of_newest(publish_dataset(url, pictures(COUNT)))
    with open_dataset(url) as dataset:
        for read in (dataset.__getitem__, dataset.image, dataset.vector):
            with pytest.raises(IndexError, match=f"row {row} of a dataset of {COUNT} rows"):
                read(row)


def test_a_for_loop_over_a_dataset_ends(url: Path) -> None:
    with open_dataset(url) as dataset:
        assert [row["key"] for row in dataset] == dataset.table()["key"].to_pylist()


def test_the_table_has_the_columns_asked_for_in_that_order(url: Path) -> None:
    with open_dataset(url) as dataset:
        assert dataset.table().schema == INDEX_SCHEMA
        assert dataset.table(["label", "key"]).column_names == ["label", "key"]
        assert dataset.columns == tuple(INDEX_SCHEMA.names)
        assert dataset.digest == dataset.head.digest


def test_unknown_columns_are_refused_naming_the_known_ones(url: Path) -> None:
    with open_dataset(url) as dataset:
        for read in (
            dataset.table,
            lambda columns: dataset.batches(columns=columns),
            lambda c: dataset.row_batches(4, c),
        ):
            with pytest.raises(DatasetError, match="no column 'colour'; there are id, key, variant"):
                read(["key", "colour"])


@pytest.mark.parametrize("batch_size", [1, 4, COUNT, 100])
def test_batches_hold_all_rows_in_order(url: Path, batch_size: int) -> None:
    with open_dataset(url) as dataset:
        batches = list(dataset.batches(batch_size=batch_size, columns=["key", "width_px", "label"]))
        table = dataset.table()
    assert [len(batch["key"]) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert {name for batch in batches for name in batch} == {"key", "width_px", "label", "image"}
    assert np.concatenate([batch["key"] for batch in batches]).tolist() == table["key"].to_pylist()
    assert np.concatenate([batch["label"] for batch in batches]).tolist() == table["label"].to_pylist()
    images = np.concatenate([batch["image"] for batch in batches])
    np.testing.assert_array_equal(images, [pixels_of(NUMBERS[key]) for key in table["key"].to_pylist()])


def test_batches_normalise_pixels(url: Path) -> None:
    with open_dataset(url) as dataset:
        raw, scaled = next(dataset.batches()), next(dataset.batches(normalization="imagenet"))
    np.testing.assert_array_equal(scaled["image"], normalize(raw["image"], "imagenet"))


def test_batches_larger_than_a_piece_of_the_index_are_whole(tmp_path: Path) -> None:
    # The index is read in pieces of 4096 rows; few different images, so that this is made quickly.
    publish_dataset(tmp_path, [Picture(f"{n}.jpg", n % 3) for n in range(5000)], Look(1, 1), images_per_segment=5000)
    with open_dataset(tmp_path) as dataset:
        assert [rows.num_rows for rows in dataset.row_batches(3000, ["key"])] == [3000, 2000]
        assert [rows.num_rows for rows in dataset.row_batches(4500, ["key"])] == [4500, 500]
        assert dataset[4999]["key"] == dataset.table(["key"])["key"][4999].as_py()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 0}, "a batch of 0 images is not possible"),
        ({"normalization": "0-255"}, "unknown normalization '0-255'; known: none"),
    ],
)
def test_wrong_batch_options_are_refused_at_once(url: Path, options: dict[str, object], sentence: str) -> None:
    with open_dataset(url) as dataset, pytest.raises(ConfigError, match=sentence):
        dataset.batches(**options)


def test_vectors_are_those_of_their_rows_across_row_groups(tmp_path: Path) -> None:
    count = 2 * CHUNK_ROWS + 10
    items = [Picture(f"{n}.jpg", n % 3) for n in range(count)]
    vectors = publish_vectors_of_newest(publish_dataset(tmp_path, items, Look(1, 1), images_per_segment=count))
    with open_dataset(tmp_path) as dataset:
        assert dataset.has_vectors
        np.testing.assert_array_equal(dataset.vectors(), vectors)
        for row in (0, CHUNK_ROWS - 1, CHUNK_ROWS, 2 * CHUNK_ROWS, -1):
            np.testing.assert_array_equal(dataset.vector(row), vectors[row])
        assert dataset.vector(0).dtype == np.float32


def test_without_vectors_the_error_says_how_to_get_some(url: Path) -> None:
    with open_dataset(url) as dataset:
        assert not dataset.has_vectors
        with pytest.raises(DatasetError, match=r"no feature vectors in .*; set features\.extractor and run again"):
            dataset.vector(0)


def test_damaged_vectors_are_a_store_error(url: Path) -> None:
    publish_vectors_of_newest(publish_dataset(url, pictures(COUNT)))
    path = url / layout.FEATURE_VECTORS
    path.write_bytes(path.read_bytes()[:-20])
    with open_dataset(url) as dataset:
        assert dataset.image(0).any()
        with pytest.raises(StoreError, match=r"feature_vectors\.parquet is damaged"):
            dataset.vectors()


def test_an_earlier_snapshot_is_still_there(url: Path) -> None:
    publish_dataset(url, pictures(3))
    with open_dataset(url) as newest, open_dataset(url, snapshot=1) as first, open_dataset(url, snapshot=2) as second:
        assert (len(newest), len(first), len(second)) == (3, COUNT, 3)
        np.testing.assert_array_equal(first[5]["image"], pixels_of(NUMBERS[first[5]["key"]]))


def test_a_snapshot_is_found_by_its_digest(url: Path) -> None:
    publish_dataset(url, pictures(3))
    with open_dataset(url, snapshot=1) as first, open_dataset(url, snapshot=first.digest[:8]) as same:
        assert same.head == first.head


@pytest.mark.parametrize("snapshot", [0, -1, 2, "2"])
def test_a_snapshot_that_is_not_there_is_refused_naming_what_there_is(url: Path, snapshot: int | str) -> None:
    digest = open_dataset(url).digest
    with pytest.raises(DatasetError, match=rf"no snapshot {snapshot} in .*store; there are 1 \({digest[:8]}\)"):
        open_dataset(url, snapshot=snapshot)


@pytest.mark.parametrize("snapshot", [None, 1, "0123abcd"])
def test_a_missing_store_is_one_clear_line_and_is_not_created(tmp_path: Path, snapshot: int | str | None) -> None:
    with pytest.raises(DatasetError) as error:
        open_dataset(tmp_path / "nowhere", snapshot=snapshot)
    assert str(error.value) == f"no published dataset in {tmp_path}/nowhere; `image-assets run` publishes one"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_that_is_no_settings_file_is_refused(url: Path) -> None:
    with pytest.raises(DatasetError, match=r"index\.parquet is a file; name the store's folder"):
        open_dataset(url / "index.parquet")


@pytest.mark.parametrize("as_path", [str, Path])
def test_a_settings_file_names_the_store(url: Path, as_path: type) -> None:
    settings = url.parent / "tiny.yaml"
    settings.write_text("name: tiny\nsource: {path: raw}\nstore: store\n")
    with open_dataset(as_path(settings)) as dataset:
        assert len(dataset) == COUNT


def test_a_url_names_the_store(url: Path) -> None:
    with open_dataset(url.as_uri()) as dataset:
        np.testing.assert_array_equal(dataset[3]["image"], pixels_of(NUMBERS[dataset[3]["key"]]))


def test_an_empty_dataset_is_a_dataset(tmp_path: Path) -> None:
    publish_dataset(tmp_path, [])
    with open_dataset(tmp_path) as dataset:
        assert (len(dataset), dataset.image_shape, dataset.has_variants) == (0, (0, 0, 0), False)
        assert dataset.table().schema == INDEX_SCHEMA
        assert list(dataset.batches()) == []
        assert dataset.images(dataset.table()).shape == (0, 0, 0, 0)


def test_images_of_different_shapes_are_refused_together(url: Path) -> None:
    publish_dataset(url, [Picture("large.jpg", 1)], Look(width_px=9))
    with open_dataset(url, snapshot=1) as small, open_dataset(url) as large:
        rows = pa.concat_tables([small.table(), large.table()])
        with pytest.raises(DatasetError, match=r"images differ in shape: .*\(6, 9, 3\)"):
            small.images(rows)


def test_few_segments_are_open_at_once_and_none_after_closing(tmp_path: Path) -> None:
    publish_dataset(tmp_path, pictures(40), images_per_segment=1)
    with open_dataset(tmp_path) as dataset:
        for row in range(40):
            dataset.image(row)
        assert 0 < len(open_files_below(tmp_path)) <= 8
    assert open_files_below(tmp_path) == []


def test_a_closed_dataset_reads_on_when_it_is_asked_to(url: Path) -> None:
    dataset: Dataset = open_dataset(url)
    before = dataset[2]
    dataset.close()
    np.testing.assert_array_equal(dataset[2]["image"], before["image"])
    dataset.close()


def test_random_access_leaves_no_temporary_folders(url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with open_dataset(url) as dataset:
        assert dataset[4]["key"] in NUMBERS
        assert not any(path.is_dir() for path in folder.iterdir())


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = "import image_assets, sys; print(sorted({'numpy', 'pyarrow', 'PIL', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def open_files_below(folder: Path) -> list[str]:
    return [file.path for file in psutil.Process().open_files() if Path(file.path).is_relative_to(folder)]
