"""Vectors as they are kept: their type, the further files of them, and that these are never wrong."""

import json

import duckdb
import h5py
import numpy as np
import pytest

from image_assets.core.errors import ConfigError
from image_assets.pipeline.embedding import as_kept, build_vectors
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.storage.identity import open_store
from image_assets.storage.vectors import VectorHead
from image_assets_tests.features.models import write_onnx
from image_assets_tests.images import make_settings_for, write_image, write_images
from image_assets_tests.storage.rows import vector_head

BOTH = ["numpy", "hdf5"]
NAMES = ["feature_vectors.h5", "feature_vectors.json", "feature_vectors.npy"]


def settings_for(folder, **features):
    return make_settings_for(folder, features={"extractor": "colour-moments", **features})


def vectors_and_ids(settings):
    with open_dataset(settings.store) as dataset:
        return dataset.vectors(), dataset.table(["id"])["id"].to_pylist()


def files_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "store").glob("feature_vectors.*")}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_all_files_hold_the_same_numbers_in_the_type_that_was_asked_for(tmp_path, dtype):
    write_images(tmp_path / "raw", 7)
    settings = settings_for(tmp_path, dtype=dtype, files=BOTH)
    run_dataset(settings)
    vectors, ids = vectors_and_ids(settings)
    assert (vectors.dtype, vectors.shape) == (np.dtype(dtype), (7, 144))
    mapped = np.load(tmp_path / "store" / "feature_vectors.npy", mmap_mode="r")
    np.testing.assert_array_equal(mapped, vectors)
    with h5py.File(tmp_path / "store" / "feature_vectors.h5") as file:
        np.testing.assert_array_equal(file["vectors"][:], vectors)
        assert [name.decode() for name in file["ids"]] == ids
        assert file.attrs["index_digest"] == open_dataset(settings.store).digest
    table = duckdb.sql(f"select id, vector from '{tmp_path}/store/feature_vectors.parquet'").fetchall()
    np.testing.assert_array_equal(np.array([row[1] for row in table], dtype), vectors)
    assert [row[0] for row in table] == ids


def test_half_numbers_are_rounded_whole_ones_take_half_the_room_and_are_kept_apart(tmp_path):
    write_images(tmp_path / "raw", 40)
    run_dataset(settings_for(tmp_path))
    whole, _ = vectors_and_ids(settings_for(tmp_path))
    size_bytes = (tmp_path / "store" / "feature_vectors.parquet").stat().st_size
    assert run_dataset(settings_for(tmp_path, dtype="float16")).embedded == 40
    halves, _ = vectors_and_ids(settings_for(tmp_path))
    np.testing.assert_array_equal(halves, whole.astype(np.float16))
    assert (tmp_path / "store" / "feature_vectors.parquet").stat().st_size < 0.65 * size_bytes
    assert run_dataset(settings_for(tmp_path)).embedded == 0  # the whole ones are still there


def test_numbers_too_large_for_halves_are_refused(tmp_path):
    head = VectorHead("big", "0" * 64, 1, 1, "", 1, dtype="float16")
    assert as_kept(np.array([[65504.0]], np.float32), head)[0, 0] == 65504
    with pytest.raises(ConfigError, match="too large for float16"):
        as_kept(np.array([[65520.0]], np.float32), head)


def test_files_are_written_only_when_what_they_follow_changed(tmp_path):
    write_images(tmp_path / "raw", 4)
    settings = settings_for(tmp_path, files=BOTH)
    written = [run_dataset(settings).followed["feature_vectors"].files]
    first = files_of(tmp_path)
    written.append(run_dataset(settings).followed["feature_vectors"].files)
    written.append(build_vectors(settings).files)
    assert files_of(tmp_path) == first
    write_image(tmp_path / "raw", "c/1.jpg", 60)
    written.append(run_dataset(settings).followed["feature_vectors"].files)
    assert [len(names) for names in written] == [2, 0, 0, 2]
    (tmp_path / "raw" / "c/1.jpg").unlink()
    run_dataset(settings)
    again = files_of(tmp_path)
    # Byte by byte, but for the number of the index that they follow.
    assert again["feature_vectors.npy"] == first["feature_vectors.npy"]


def test_the_same_dataset_gives_the_same_bytes(tmp_path):
    write_images(tmp_path / "raw", 4)
    run_dataset(settings_for(tmp_path, files=BOTH))
    first = files_of(tmp_path)
    (tmp_path / "store").rename(tmp_path / "before")
    run_dataset(settings_for(tmp_path, files=BOTH))
    assert files_of(tmp_path) == first


def test_files_that_are_not_wanted_any_more_go_and_lost_ones_come_back(tmp_path):
    write_images(tmp_path / "raw", 3)
    run_dataset(settings_for(tmp_path, files=BOTH))
    assert sorted(files_of(tmp_path)) == [*NAMES, "feature_vectors.parquet"]
    (tmp_path / "store" / "feature_vectors.npy").unlink()
    run_dataset(settings_for(tmp_path, files=BOTH))
    assert len(files_of(tmp_path)) == 4
    run_dataset(settings_for(tmp_path, files=["numpy"]))
    assert "feature_vectors.h5" not in files_of(tmp_path)
    run_dataset(settings_for(tmp_path))
    assert sorted(files_of(tmp_path)) == ["feature_vectors.parquet"]


@pytest.mark.parametrize("dying_at", NAMES)
def test_killed_at_any_write_the_record_never_says_what_is_not_so(tmp_path, monkeypatch, dying_at):
    write_images(tmp_path / "raw", 3)
    settings = settings_for(tmp_path, files=BOTH)
    run_dataset(settings)
    write_image(tmp_path / "raw", "c/1.jpg", 60)
    store_class = type(open_store(settings))
    really_put = store_class.put

    def dying(self, path, data):
        if path == dying_at:
            raise KeyboardInterrupt
        really_put(self, path, data)

    monkeypatch.setattr(store_class, "put", dying)
    with pytest.raises(KeyboardInterrupt):
        run_dataset(settings)
    monkeypatch.undo()
    assert not (tmp_path / "store" / "feature_vectors.json").exists()
    run_dataset(settings)
    record = json.loads((tmp_path / "store" / "feature_vectors.json").read_text())
    assert (record["rows"], record["files"]) == (4, ["feature_vectors.h5", "feature_vectors.npy"])
    np.testing.assert_array_equal(np.load(tmp_path / "store" / "feature_vectors.npy"), vectors_and_ids(settings)[0])


def test_nothing_of_a_forgotten_image_stays_in_any_file(tmp_path):
    write_images(tmp_path / "raw", 5)
    settings = settings_for(tmp_path, files=BOTH, dtype="float16")
    run_dataset(settings)
    vectors, ids = vectors_and_ids(settings)
    with open_dataset(settings.store) as dataset:
        row = dataset.table(["key"])["key"].to_pylist().index("a/2.jpg")
    forget_images(settings, ["a/2.jpg"])
    after = files_of(tmp_path)
    assert sorted(after) == [*NAMES, "feature_vectors.parquet"]
    assert not any(vectors[row].tobytes() in data or ids[row].encode() in data for data in after.values())


def test_an_empty_dataset_has_files_without_rows(tmp_path):
    (tmp_path / "raw").mkdir()
    path = write_image(tmp_path / "raw", "a/1.jpg", 1)
    settings = settings_for(tmp_path, files=BOTH)
    run_dataset(settings)
    forget_images(settings, ["a/1.jpg"])
    path.unlink()
    assert np.load(tmp_path / "store" / "feature_vectors.npy").shape == (0, 144)
    with h5py.File(tmp_path / "store" / "feature_vectors.h5") as file:
        assert (file["vectors"].shape, file["ids"].shape) == ((0, 144), (0,))


def test_another_model_under_the_same_name_is_noticed_and_a_pinned_one_refused(tmp_path):
    write_images(tmp_path / "raw", 3)
    path = write_onnx(tmp_path / "model.onnx")
    settings = settings_for(tmp_path, extractor=f"onnx:{path}", output="pooled")
    assert run_dataset(settings).embedded == 3
    assert run_dataset(settings).embedded == 0
    write_onnx(path, seed=1)
    assert run_dataset(settings).embedded == 3
    pinned = settings_for(tmp_path, extractor=f"onnx:{path}", output="pooled", sha256="0" * 64)
    with pytest.raises(ConfigError, match=r"features\.sha256"):
        run_dataset(pinned)


def test_a_dataset_with_a_model_from_a_file_can_be_compacted(tmp_path):
    write_images(tmp_path / "raw", 3)
    settings = settings_for(tmp_path, extractor=f"onnx:{write_onnx(tmp_path / 'model.onnx')}")
    run_dataset(settings)
    write_image(tmp_path / "raw", "c/1.jpg", 60)
    run_dataset(settings)
    report = vacuum_dataset(settings, Retention(keep=1), compact=True, dry_run=False)
    assert (report.note, report.compacted_segments > 1) == ("", True)


def test_heads_written_before_there_were_types_are_of_float32():
    assert vector_head(rows=1).dtype == "float32"
