"""The dataset as Hugging Face's ``datasets`` sees it."""

from pathlib import Path

import numpy as np
import pytest

datasets = pytest.importorskip("datasets", reason="needs the extra datasets")

from image_assets import open_dataset  # noqa: E402
from image_assets.loaders import to_hf  # noqa: E402
from image_assets_tests.datasets import pictures, pixels_of, publish_dataset  # noqa: E402

COUNT = 30
ITEMS = {item.key: item for item in pictures(COUNT)}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_are_images_class_labels_and_columns(tmp_path: Path, streaming: bool) -> None:
    publish_dataset(tmp_path / "store", pictures(COUNT))
    with open_dataset(tmp_path / "store") as dataset:
        given = to_hf(dataset, ["key", "width_px"], streaming=streaming)
        rows = list(given)
    assert given.features["label"].names == ["a", "b"]
    assert [row["key"] for row in rows] == dataset.table(["key"])["key"].to_pylist()
    for row in rows:
        item = ITEMS[row["key"]]
        np.testing.assert_array_equal(np.asarray(row["image"]), pixels_of(item.number))
        assert row["label"] == (None if item.label is None else "ab".index(item.label))
        assert row["width_px"] == 8


def test_images_are_kept_as_they_are_stored(tmp_path: Path) -> None:
    publish_dataset(tmp_path / "store", pictures(COUNT))
    with open_dataset(tmp_path / "store") as dataset:
        given = to_hf(dataset).cast_column("image", datasets.Image(decode=False))
        stored = dataset.encoded(dataset.table(["segment", "row"]))
    assert [row["bytes"] for row in given["image"]] == stored


def test_a_snapshot_is_copied_once_and_another_anew(tmp_path: Path) -> None:
    publish_dataset(tmp_path / "store", pictures(COUNT))
    with open_dataset(tmp_path / "store") as dataset:
        first, again = to_hf(dataset), to_hf(dataset)
    publish_dataset(tmp_path / "store", pictures(COUNT - 1))
    with open_dataset(tmp_path / "store") as dataset:
        later = to_hf(dataset)
    assert first.cache_files == again.cache_files != later.cache_files
    assert (len(first), len(later)) == (COUNT, COUNT - 1)


def test_a_dataset_without_labels_has_no_classes(tmp_path: Path) -> None:
    publish_dataset(tmp_path / "store", [item for item in pictures(COUNT) if item.label is None])
    with open_dataset(tmp_path / "store") as dataset:
        assert set(to_hf(dataset)["label"]) == {None}
