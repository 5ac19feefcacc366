"""A remux keeps rows, columns and features; its bytes depend on nothing else; a bad image never stops it."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from image_assets.core.errors import ConfigError, SourceError
from image_assets_tests.images import image_bytes
from image_assets_tests.pipeline.remuxes import (
    FEATURES,
    IMAGE,
    SCHEMA,
    image_rows,
    read_parts,
    remux,
    write_dataset,
    write_parquet,
    written,
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "dataset")


def test_every_row_keeps_its_place_its_label_and_its_extra_columns(dataset, tmp_path):
    remux(dataset, tmp_path / "out")
    rows = read_parts(tmp_path / "out")
    assert [(row["label"], row["note"]) for row in rows] == [(number % 2, f"n{number}") for number in range(23)]
    assert [row["image"]["path"] for row in rows] == [f"{number}.jpg" for number in range(23)]


def test_every_output_is_a_jpeg_of_256_pixels(dataset, tmp_path):
    remux(dataset, tmp_path / "out")
    images = [Image.open(io.BytesIO(row["image"]["bytes"])) for row in read_parts(tmp_path / "out")]
    assert {(image.format, image.size, image.mode) for image in images} == {("JPEG", (256, 256), "RGB")}


def test_parts_have_the_rows_asked_for_in_zstd(dataset, tmp_path):
    report = remux(dataset, tmp_path / "out")
    parts = [pq.read_metadata(tmp_path / "out" / f"part-{number:05d}.parquet") for number in range(3)]
    assert [part.num_rows for part in parts] == [10, 10, 3]
    assert {part.row_group(0).column(0).compression for part in parts} == {"ZSTD"}
    assert (report.rows, report.parts, report.quarantined) == (23, 3, 0)


def test_the_features_of_kept_columns_stay(dataset, tmp_path):
    remux(dataset, tmp_path / "out", extra_cols=())
    schema = pq.read_schema(tmp_path / "out" / "part-00000.parquet")
    assert schema.names == ["image", "label"]
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": FEATURES["image"], "label": FEATURES["label"]}


def test_class_names_of_the_card_count_where_the_table_says_none(tmp_path):
    write_parquet(tmp_path / "in" / "train.parquet", image_rows(2), SCHEMA.remove_metadata())
    names = "{'0': cat, '1': dog}"
    card = f"dataset_info:\n  features:\n  - name: label\n    dtype: {{class_label: {{names: {names}}}}}\n"
    (tmp_path / "in" / "README.md").write_text(f"---\n{card}---\n")
    remux(tmp_path / "in", tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / "part-00000.parquet")
    assert json.loads(schema.metadata[b"huggingface"])["info"]["features"]["label"] == FEATURES["label"]


@pytest.mark.parametrize("how", [{"num_workers": 2}, {"batch_size": 7}, {"num_workers": 3, "batch_size": 1}])
def test_neither_workers_nor_batches_change_a_byte(how, dataset, tmp_path):
    remux(dataset, tmp_path / "one")
    remux(dataset, tmp_path / "other", **how)
    assert written(tmp_path / "one") == written(tmp_path / "other")


def test_another_seed_gives_other_images(dataset, tmp_path):
    remux(dataset, tmp_path / "one")
    remux(dataset, tmp_path / "other", seed=1)
    pairs = zip(read_parts(tmp_path / "one"), read_parts(tmp_path / "other"), strict=True)
    assert all(one["image"]["bytes"] != other["image"]["bytes"] for one, other in pairs)


def test_the_manifest_has_nine_fields(dataset, tmp_path):
    remux(dataset, tmp_path / "out", seed=3, split="train[:11]")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == {
        "dataset": str(dataset),
        "subset": None,
        "split": "train[:11]",
        "rows": 11,
        "parts": 2,
        "rows_per_shard": 10,
        "image_format": "jpeg",
        "jpeg_quality": 90,
        "seed": 3,
    }


def test_hub_names_say_split_and_number_of_parts(dataset, tmp_path):
    remux(dataset, tmp_path / "out", names="hub", split="test", rows_per_shard=3)
    parts = sorted(path.name for path in (tmp_path / "out").glob("test-*"))
    assert parts == ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]


def test_bad_images_are_quarantined_and_the_rest_goes_on(tmp_path):
    dataset = write_dataset(tmp_path / "dataset", bad=(3, 15))
    report = remux(dataset, tmp_path / "out")
    quarantine = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert [(row["row"], row["reason"], len(row["sha256"])) for row in quarantine] == [
        (3, "truncated", 64),
        (15, "truncated", 64),
    ]
    assert [row["note"] for row in read_parts(tmp_path / "out")] == [f"n{n}" for n in range(23) if n not in {3, 15}]
    assert (report.rows, report.quarantined) == (21, 2)


def test_a_part_of_bad_images_alone_is_there_and_empty(tmp_path):
    dataset = write_dataset(tmp_path / "dataset", bad=tuple(range(10)))
    remux(dataset, tmp_path / "out")
    assert pq.read_metadata(tmp_path / "out" / "part-00000.parquet").num_rows == 0
    assert len(read_parts(tmp_path / "out")) == 13


def test_rows_without_an_image_are_quarantined(tmp_path):
    rows = [{"image": None}, {"image": {"bytes": None, "path": None}}, {"image": {"bytes": b"", "path": "x"}}]
    source = write_parquet(tmp_path / "t.parquet", [*rows, *image_rows(1)])
    remux(source, tmp_path / "out")
    quarantine = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert [row["reason"] for row in quarantine] == ["zero_bytes"] * 3
    assert len(read_parts(tmp_path / "out")) == 1


def test_paths_are_read_beside_the_tables_and_nowhere_else(tmp_path):
    (tmp_path / "outside.jpg").write_bytes(image_bytes(1))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(image_bytes(2))
    rows = [{"image": {"bytes": None, "path": path}} for path in ("a.jpg", "../outside.jpg", "gone.jpg")]
    write_parquet(tmp_path / "in" / "train.parquet", rows)
    remux(tmp_path / "in", tmp_path / "out")
    quarantine = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert [(row["row"], row["reason"]) for row in quarantine] == [(1, "outside_root"), (2, "unreadable")]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string()])
def test_an_image_column_may_be_bytes_or_a_path(kind, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(image_bytes(5))
    value = "a.jpg" if kind == pa.string() else image_bytes(5)
    write_parquet(tmp_path / "in" / "train.parquet", [{"picture": value}], pa.schema([("picture", kind)]))
    remux(tmp_path / "in", tmp_path / "out", image_col="picture")
    schema = pq.read_schema(tmp_path / "out" / "part-00000.parquet")
    assert schema.field("picture").type == IMAGE
    # The same pixels whichever way the bytes came.
    write_parquet(tmp_path / "plain.parquet", [{"image": {"bytes": image_bytes(5), "path": None}}])
    remux(tmp_path / "plain.parquet", tmp_path / "plain")
    assert read_parts(tmp_path / "out")[0]["picture"]["bytes"] == read_parts(tmp_path / "plain")[0]["image"]["bytes"]


@pytest.mark.parametrize("open_writer", [pa.ipc.new_stream, pa.ipc.new_file])
def test_arrow_tables_give_what_parquet_gives(open_writer, tmp_path):
    table = pa.Table.from_pylist(image_rows(9), schema=SCHEMA)
    with open_writer(str(tmp_path / "t.arrow"), SCHEMA) as writer:
        writer.write_table(table, max_chunksize=4)
    write_parquet(tmp_path / "t.parquet", image_rows(9))
    remux(tmp_path / "t.arrow", tmp_path / "arrow", split="train[2:]")
    remux(tmp_path / "t.parquet", tmp_path / "parquet", split="train[2:]")
    assert read_parts(tmp_path / "arrow") == read_parts(tmp_path / "parquet")


def test_what_save_to_disk_wrote_is_read(tmp_path):
    folder = tmp_path / "saved" / "train"
    folder.mkdir(parents=True)
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(image_rows(3), schema=SCHEMA))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (tmp_path / "saved" / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    assert remux(tmp_path / "saved", tmp_path / "out").rows == 3


CARD = """configs:
- config_name: big
  data_files: [{split: train, path: "big/*"}, {split: dev, path: ["dev/**"]}]
- config_name: small
  data_files: "small/?.parquet"
"""


@pytest.mark.parametrize(
    ("subset", "split", "notes"),
    [
        ("big", "train", ["n0", "n1"]),
        ("big", "dev", ["n20"]),
        ("big", "train[1:]+dev", ["n1", "n20"]),
        ("small", "train", ["n30"]),
    ],
)
def test_the_card_says_which_files_make_up_subsets_and_splits(subset, split, notes, tmp_path):
    files = {"big/a": 0, "big/b": 1, "big/deep/c": 10, "dev/x/y": 20, "small/s": 30, "small/long": 31}
    for name, number in files.items():
        write_parquet(tmp_path / "in" / f"{name}.parquet", image_rows(1, first=number))
    (tmp_path / "in" / "README.md").write_text(f"---\n{CARD}---\n# Words\n")
    remux(tmp_path / "in", tmp_path / "out", subset=subset, split=split)
    assert [row["note"] for row in read_parts(tmp_path / "out")] == notes


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"split": "dev"}, "no split 'dev' in the dataset; found: test, train"),
        ({"subset": "small"}, "no subset 'small'"),
        ({"image_col": "img"}, "no column 'img' for --image-col; found: image, label, note; images are in image"),
        ({"image_col": "label"}, "holds int64, not images"),
        ({"label_col": "class"}, "no column 'class'"),
        ({"extra_cols": ("notes",)}, "no column 'notes'"),
        ({"rows_per_shard": 0}, "--rows-per-shard is 0"),
        ({"jpeg_quality": 101}, "output.quality"),
        ({"function": "no_such_module:f"}, "cannot be imported"),
        ({"function": "json"}, "is no import path"),
        ({"split": "train[:0]"}, "has no rows"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(options, says, dataset, tmp_path):
    with pytest.raises(ConfigError) as refusal:
        remux(dataset, tmp_path / "out", **options)
    assert says in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_dataset_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceError, match="neither a folder, a file, nor an id"):
        remux(tmp_path / "gone", tmp_path / "out")


def test_a_damaged_table_is_an_error_that_names_it(dataset, tmp_path):
    path = dataset / "data" / "train-00000-of-00002.parquet"
    content = bytearray(path.read_bytes())
    content[20:2000] = bytes(1980)
    path.write_bytes(content)
    with pytest.raises(SourceError, match="damaged"):
        remux(dataset, tmp_path / "out")


def test_columns_of_any_type_stay(tmp_path):
    extra = {
        "tags": pa.array([["a", "b"], None]),
        "kind": pa.array(["x", "y"]).dictionary_encode(),
        "boxes": pa.array([[{"x": 1, "y": 0.5}], []]),
        "thumb": pa.array([{"bytes": b"t", "path": None}, None], IMAGE),
        "a.b": pa.array([10**17, None], pa.timestamp("us")),
    }
    table = pa.Table.from_pylist(image_rows(2), schema=SCHEMA)
    for name, column in extra.items():
        table = table.append_column(name, column)
    (tmp_path / "in").mkdir()
    # The second file is a split's too, and may say other things of itself.
    pq.write_table(table, tmp_path / "in" / "train-a.parquet")
    pq.write_table(table.replace_schema_metadata({"by": "hand"}), tmp_path / "in" / "train-b.parquet")
    for name, how in {"plain": {}, "function": {"function": "image_assets_tests.pipeline.test_remux:same"}}.items():
        remux(tmp_path / "in", tmp_path / name, rows_per_shard=3, **how)
        rows = [{**row, "image": None} for row in read_parts(tmp_path / name)]
        assert rows == [{**row, "image": None} for row in table.to_pylist() * 2]


def same(batch):
    return batch


def test_load_dataset_reads_the_folder(dataset, tmp_path):
    datasets = pytest.importorskip("datasets")
    remux(dataset, tmp_path / "out", names="hub")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == 23
    assert loaded["train"].features["label"].names == ["cat", "dog"]
    assert np.asarray(loaded["train"][0]["image"]).shape == (256, 256, 3)
