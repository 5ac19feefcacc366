"""Exports of one file a shard: equal to the dataset, written again only where rows changed, whole after any kill."""

import io
import json
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from image_assets.core.errors import DatasetError, StoreError
from image_assets.core.sharding import bucket_of
from image_assets.formats import FORMATS
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.resharding import reshard_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.shard_exports import write_shard_exports
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets_tests.formats.readers import READERS
from image_assets_tests.images import make_settings_for, write_image, write_images
from image_assets_tests.kills import KilledError, killed_at_write

SHARDED = sorted(name for name, kind in FORMATS.items() if kind.unit == "shards")
SHARDS = 4
NEW_KEY = "a/new.png"


def settings_for(folder, **more):
    # PNG gives back exactly the pixels that the dataset has.
    return make_settings_for(folder, **{"num_shards": SHARDS, "exports": SHARDED, "output": {"format": "png"}, **more})


def files_of(settings, name):
    """{file name: its bytes} of an export, without the record."""
    folder = Path(settings.store) / "exports" / name
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "exports.json"}


def parts_of(settings, name):
    return [
        path for path in sorted((Path(settings.store) / "exports" / name).iterdir()) if path.name.startswith("train")
    ]


@pytest.fixture(scope="module")
def with_variants(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    write_images(folder / "raw", 9)
    settings = settings_for(folder, augment={"variants": 1, "transforms": ["random_flip"]})
    run_dataset(settings)
    return settings


@pytest.mark.parametrize("name", SHARDED)
def test_all_files_together_hold_what_the_dataset_holds(with_variants, name):
    settings = with_variants
    backs = [READERS[name](path) for path in parts_of(settings, name)]
    assert len(backs) == SHARDS
    with open_dataset(settings.store) as dataset:
        table = dataset.table()
        pixels = dataset.images(table)
    assert [key for back in backs for key in back.filenames] == table["key"].to_pylist()
    assert [label for back in backs for label in back.labels] == table["label"].to_pylist()
    assert [variant for back in backs for variant in back.variants] == table["variant"].to_pylist()
    np.testing.assert_array_equal(np.concatenate([back.images for back in backs if back.filenames]), pixels)


@pytest.fixture(scope="module")
def one_more(tmp_path_factory):
    """{format: (files, how many a second look wrote, files after one more image, files from scratch)}."""
    folder = tmp_path_factory.mktemp("one more")
    write_images(folder / "raw", 12)
    settings = settings_for(folder)
    run_dataset(settings)
    before = {name: files_of(settings, name) for name in SHARDED}
    again = {name: write_shard_exports(Store(settings.store), name).written for name in SHARDED}
    write_image(folder / "raw", NEW_KEY, 50)
    run_dataset(settings)
    fresh = settings.model_copy(update={"store": str(folder / "fresh")})
    run_dataset(fresh)
    return {name: (before[name], again[name], files_of(settings, name), files_of(fresh, name)) for name in SHARDED}


@pytest.mark.parametrize("name", SHARDED)
def test_only_files_of_changed_shards_are_written_and_they_equal_those_from_scratch(one_more, name):
    before, again, after, fresh = one_more[name]
    assert again == 0
    assert changed_files(before, after) == [f"train-{bucket_of(NEW_KEY) * SHARDS // 4096:05d}"]
    assert fresh == after


def changed_files(before, after):
    return sorted(name[:11] for name in after if name.startswith("train-") and before.get(name) != after[name])


def test_a_relabelled_image_writes_its_file_and_a_reshard_all_of_them(tmp_path):
    paths = write_images(tmp_path / "raw", 8)
    keys = [path.relative_to(tmp_path / "raw").as_posix() for path in paths]
    lines = ["filename,label", *(f"{key},x" for key in keys)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    settings = settings_for(tmp_path, labels={"kind": "file", "path": "labels.csv"}, exports=["webdataset"])
    run_dataset(settings)
    before = files_of(settings, "webdataset")
    (tmp_path / "labels.csv").write_text("\n".join([*lines[:-1], f"{keys[-1]},other"]))
    run_dataset(settings)
    after = files_of(settings, "webdataset")
    assert changed_files(before, after) == [f"train-{bucket_of(keys[-1]) * SHARDS // 4096:05d}"]
    reshard_dataset(settings, 2)
    assert sorted(files_of(settings, "webdataset")) == ["train-00000-of-00002.tar", "train-00001-of-00002.tar"]


@pytest.mark.parametrize(
    "harm", ["file removed", "file changed in length", "record removed", "killed before the record"]
)
def test_whatever_happened_to_a_file_it_is_right_afterwards(tmp_path, harm):
    write_images(tmp_path / "raw", 6)
    settings = settings_for(tmp_path, exports=["tfrecord"])
    run_dataset(settings)
    store, before = Store(settings.store), files_of(settings, "tfrecord")
    record = Path(settings.store) / layout.export_record("tfrecord")
    path = parts_of(settings, "tfrecord")[1]
    if harm == "file removed":
        path.unlink()
    elif harm == "file changed in length":
        path.write_bytes(b"cut")
    elif harm == "record removed":
        record.unlink()
    else:
        content = json.loads(record.read_text())
        del content[f"exports/tfrecord/{path.name}"]
        record.write_text(json.dumps(content))
        path.write_bytes(b"older")
    write_shard_exports(store, "tfrecord")
    assert files_of(settings, "tfrecord") == before
    assert write_shard_exports(store, "tfrecord").written == 0


def test_the_hubs_layout_has_a_card_that_names_its_files(tmp_path):
    write_images(tmp_path / "raw", 5)
    settings = settings_for(tmp_path, exports=["huggingface"])
    run_dataset(settings)
    folder = Path(settings.store) / "exports/huggingface"
    card = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    (files,) = card["configs"][0]["data_files"]
    assert files == {"split": "train", "path": "train-*.parquet"}
    table = pq.read_table(sorted(folder.glob(files["path"])))
    assert table.num_rows == 5
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert set(features) == set(table.column_names)
    Image.open(io.BytesIO(table["image"][0].as_py()["bytes"])).load()


def test_what_is_forgotten_is_in_no_file(tmp_path):
    from image_assets.pipeline.forget import forget_images

    write_images(tmp_path / "raw", 6)
    settings = settings_for(tmp_path)
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        key, output = dataset[0]["key"], dataset[0]["output_sha256"]
    forget_images(settings, [key])
    for name in SHARDED:
        assert not any(key.encode() in data or output.encode() in data for data in files_of(settings, name).values())


@pytest.mark.parametrize("name", ["npy", "numpy", "hdf5"])
def test_a_number_means_the_same_label_in_every_file_and_an_empty_one_has_the_shape(tmp_path, name):
    write_image(tmp_path / "raw", "b/1.png", 1)
    settings = make_settings_for(tmp_path, num_shards=SHARDS, exports=[name])
    run_dataset(settings)
    numbers = numbers_of(settings, name)
    assert {shape[1:] for shape, _ in numbers} == {(16, 16, 3)}
    assert {label: number for _, pairs in numbers for label, number in pairs} == {"b": 0}
    for number in range(6):
        write_image(tmp_path / "raw", f"{'ac'[number % 2]}/{number}.png", number + 5)
    run_dataset(settings)
    pairs = {pair for _, pairs in numbers_of(settings, name) for pair in pairs}
    assert pairs == {("a", 0), ("b", 1), ("c", 2)}


def numbers_of(settings, name):
    """Return of each file the shape of its images and its pairs of label and number."""
    found = []
    for path in parts_of(settings, name):
        file = h5py.File(path) if name == "hdf5" else np.load(path, **({"mmap_mode": "r"} if name == "npy" else {}))
        labels = [label.decode() if isinstance(label, bytes) else str(label) for label in file["labels"][:]]
        found.append((file["images"].shape, list(zip(labels, np.asarray(file["label_ids"]).tolist(), strict=True))))
    return found


def test_a_store_without_a_dataset_is_refused_in_words(tmp_path):
    for name in SHARDED:
        with pytest.raises(DatasetError, match="no published dataset"):
            write_shard_exports(Store(str(tmp_path / "store")), name)


def not_an_image(path):
    return path.startswith("exports/") and not path.endswith(".png")


@pytest.mark.parametrize(("name", "file"), [("npy", "train-00000-of-00001.npy"), ("files", "metadata.csv")])
def test_what_a_killed_run_wrote_is_not_taken_for_what_was_there_before_and_is_wanted_again(tmp_path, name, file):
    write_images(tmp_path / "raw", 3)
    settings = settings_for(tmp_path, exports=[name], num_shards=1)
    run_dataset(settings)
    path = tmp_path / "store/exports" / name / file
    before = path.read_bytes()
    for writes in range(3):
        write_image(tmp_path / "raw", "a/0.jpg", 90 + writes)
        with killed_at_write(writes, after=True, counted=not_an_image), suppress(KilledError):
            run_dataset(settings)
        write_image(tmp_path / "raw", "a/0.jpg", 0)
        run_dataset(settings)
        assert path.read_bytes() == before


def test_what_fails_keeps_only_those_from_being_built_that_are_made_of_it(tmp_path):
    write_images(tmp_path / "raw", 3)
    wanted = {"duplicates": {"enabled": True}, "quality": {"enabled": True}, "exports": ["csv", "webdataset"]}
    settings = make_settings_for(tmp_path, num_shards=1, **wanted)
    (tmp_path / "store/duplicates.parquet/in the way").mkdir(parents=True)
    with pytest.raises(StoreError, match="duplicates"):
        run_dataset(settings)
    made = {path.name for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert {"train-00000-of-00001.tar", "index.csv"} <= made
    assert "image_quality.parquet" not in made
