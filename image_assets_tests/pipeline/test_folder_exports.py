"""Exports that are a folder: plain files and a Lance dataset, brought in line by what changed alone."""

import csv
import json
from pathlib import Path

import pytest

from image_assets.core.errors import ConfigError, StoreError
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.shard_exports import write_shard_exports
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets_tests.datasets import pictures, publish_dataset
from image_assets_tests.formats.readers import AVAILABLE, READERS
from image_assets_tests.images import make_settings_for, write_image, write_images

FOLDERS = [name for name in ("files", "lance") if name in AVAILABLE]
every_folder = pytest.mark.parametrize("name", FOLDERS)


def settings_for(folder, **more):
    return make_settings_for(folder, num_shards=4, exports=FOLDERS, output={"format": "png"}, **more)


def data_of(settings, name):
    """{path: (its bytes, when it was written)} of what holds images."""
    folder = Path(settings.store) / "exports" / name
    paths = folder.glob("??/*.png") if name == "files" else folder.glob("data.lance/data/*")
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def read_back(settings, name):
    folder = Path(settings.store) / "exports" / name
    return READERS[name](folder if name == "files" else folder / "data.lance")


@every_folder
def test_it_holds_the_dataset_and_after_a_change_only_what_is_new_was_written(tmp_path, name):
    paths = write_images(tmp_path / "raw", 9)
    settings = settings_for(tmp_path)
    run_dataset(settings)
    store, before = Store(settings.store), data_of(settings, name)
    assert write_shard_exports(store, name).written == 0
    write_image(tmp_path / "raw", "a/new.png", 50)
    paths[0].unlink()
    run_dataset(settings)
    after = data_of(settings, name)
    same = before.keys() & after.keys()
    assert {path: before[path] for path in same} == {path: after[path] for path in same}
    # Of plain files one goes and one comes; of four shards two have other fragments.
    assert len(same) == (8 if name == "files" else 2)
    assert before.keys() - after.keys()
    back = read_back(settings, name)
    with open_dataset(settings.store) as dataset:
        assert back.filenames == dataset.table(["key"])["key"].to_pylist()
        assert (back.images == dataset.images(dataset.table())).all()


@every_folder
@pytest.mark.parametrize("harm", ["a file removed", "the record removed", "the record older", "another file beside"])
def test_whatever_happened_it_is_right_afterwards(tmp_path, name, harm):
    write_images(tmp_path / "raw", 5)
    settings = settings_for(tmp_path)
    run_dataset(settings)
    folder, record = Path(settings.store) / "exports" / name, Path(settings.store) / layout.export_record(name)
    old = record.read_bytes()
    write_image(tmp_path / "raw", "a/new.png", 50)
    run_dataset(settings)
    if harm == "a file removed":
        next(path for path in folder.rglob("*") if path.suffix in (".png", ".lance") and path.is_file()).unlink()
    elif harm == "the record removed":
        record.unlink()
    elif harm == "the record older":
        record.write_bytes(old)
    else:
        (folder / "ab").mkdir(exist_ok=True)
        (folder / "ab" / f"ab{'0' * 62}.png").write_bytes(b"of a killed run")
    write_shard_exports(Store(settings.store), name)
    with open_dataset(settings.store) as dataset:
        assert read_back(settings, name).filenames == dataset.table(["key"])["key"].to_pylist()
    assert write_shard_exports(Store(settings.store), name).written == 0


def test_copies_and_variants_are_one_file_each_and_the_table_names_all(tmp_path):
    for key in ("a/1.png", "b/copy of 1.png"):
        write_image(tmp_path / "raw", key, 1)
    settings = settings_for(tmp_path, augment={"variants": 1, "transforms": ["random_flip"]})
    run_dataset(settings)
    with (Path(settings.store) / "exports/files/metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["0", "1"] * 2
    files = {row["file_name"] for row in rows}
    assert {f"{name[:2]}/{name}" for name in data_of(settings, "files")} == files
    assert len(files) <= 2


@every_folder
def test_nothing_of_a_forgotten_image_stays(tmp_path, name):
    write_images(tmp_path / "raw", 3)
    settings = settings_for(tmp_path)
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        key, output = dataset[0]["key"], dataset[0]["output_sha256"]
    forget_images(settings, [key])
    folder = Path(settings.store) / "exports" / name
    there = [path for path in folder.rglob("*") if path.is_file()]
    assert there
    assert not [path for path in there if output in str(path) or key.encode() in path.read_bytes()]
    assert not [path for path in folder.rglob("??") if path.is_dir() and not any(path.iterdir())]
    assert key not in read_back(settings, name).filenames


def test_a_table_of_somebody_else_is_not_overwritten(tmp_path):
    from image_assets.formats.base import ExportOptions
    from image_assets.pipeline.exporting import export_file

    publish_dataset(tmp_path / "store", pictures(2))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/metadata.csv").write_text("file_name,text\n1.jpg,mine\n")
    with pytest.raises(ConfigError, match=r"there is a metadata\.csv with other columns than file_name,key"):
        export_file(str(tmp_path / "store"), "files", tmp_path / "photos", ExportOptions())
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["metadata.csv"]


def test_an_empty_dataset_is_a_table_without_rows(tmp_path):
    store = publish_dataset(tmp_path / "store", pictures(3))
    write_shard_exports(store, "files")
    publish_dataset(tmp_path / "store", [])
    assert write_shard_exports(store, "files").files == 0
    files = [path for path in (tmp_path / "store/exports/files").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["exports.json", "metadata.csv"]


@pytest.mark.skipif("lance" not in FOLDERS, reason="pylance is not installed")
def test_a_damaged_lance_dataset_or_record_is_named(tmp_path):
    store = publish_dataset(tmp_path / "store", pictures(3))
    write_shard_exports(store, "lance")
    folder = tmp_path / "store/exports/lance"
    record = folder / "exports.json"
    record.write_text(json.dumps({"0-of-1": 1}))
    with pytest.raises(StoreError, match=r"exports/lance/exports\.json .* is damaged"):
        write_shard_exports(store, "lance")
    record.unlink()
    for manifest in (folder / "data.lance/_versions").iterdir():
        manifest.write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"exports/lance/data\.lance .* is damaged: .*; delete it and run again"):
        write_shard_exports(store, "lance")


def test_plain_files_in_a_bucket_are_written_once_and_go_when_they_are_not_wanted(s3):
    url = s3.url(s3.new_bucket(), "store")
    store = publish_dataset(url, pictures(9))
    assert write_shard_exports(store, "files").written == 9
    assert write_shard_exports(store, "files").written == 0
    publish_dataset(url, pictures(3))
    done = write_shard_exports(store, "files")
    assert (done.files, done.written) == (3, 0)
    there = [file.path for file in store.list("exports/files/")]
    assert sum(path.endswith(".png") for path in there) == 3


@pytest.mark.skipif("lance" not in FOLDERS, reason="pylance is not installed")
def test_lance_beside_an_index_in_a_bucket_is_refused(s3):
    store = publish_dataset(s3.url(s3.new_bucket(), "store"), pictures(1))
    with pytest.raises(ConfigError, match="lance is kept beside the index in folders only"):
        write_shard_exports(store, "lance")
