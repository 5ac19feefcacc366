"""Segments: named by their content, read row by row, and by other tools."""

import hashlib
import json

import duckdb
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import StoreError
from image_assets.core.heads import FORMAT_VERSION, unseal
from image_assets.storage import layout
from image_assets.storage.segments import (
    ROW_GROUP_ROWS,
    SegmentReader,
    iter_images,
    iter_segments,
    read_segment,
    segment_digest,
    write_segment,
)
from image_assets.storage.store import Store
from image_assets_tests.storage.rows import segment_image, sha256_of


def outputs(images):
    return [output.data for image in images for output in image.rendered.outputs]


@pytest.fixture
def local(tmp_path):
    return Store(str(tmp_path / "store"))


def test_equal_images_give_one_segment_named_by_its_bytes(either):
    images = [segment_image(number, variants=2) for number in range(3)]
    name = write_segment(either, "recipe", images)
    assert write_segment(either, "recipe", list(images)) == name
    assert list(iter_segments(either, "recipe")) == [name]
    assert segment_digest(either, "recipe", name) == name
    assert hashlib.sha256(either.get(layout.segment("recipe", name))).hexdigest() == name


def test_other_images_order_or_recipe_give_another_segment(either):
    images = [segment_image(0), segment_image(1)]
    names = {
        write_segment(either, "recipe", images),
        write_segment(either, "recipe", images[::-1]),
        write_segment(either, "recipe", images[:1]),
        write_segment(either, "other", images),
    }
    assert len(names) == 4
    assert len(set(iter_segments(either, "recipe"))) == 3
    assert list(iter_segments(either, "none")) == []


@pytest.mark.parametrize("count", [1, ROW_GROUP_ROWS - 1, ROW_GROUP_ROWS, ROW_GROUP_ROWS + 1, 2 * ROW_GROUP_ROWS + 3])
def test_every_image_comes_back_in_any_order(either, count):
    images = [segment_image(number) for number in range(count)]
    name = write_segment(either, "recipe", images)
    assert list(iter_images(either, "recipe", name)) == outputs(images)
    reader = SegmentReader(either, "recipe", name)
    rows = [count - 1, 0, count // 2, 0, count - 1]
    assert [reader.image(row) for row in rows] == [outputs(images)[row] for row in rows]
    reader.close()


@pytest.mark.parametrize("beyond", [0, 1, ROW_GROUP_ROWS, 10_000])
def test_a_row_beyond_the_end_is_named(either, beyond):
    name = write_segment(either, "recipe", [segment_image(number) for number in range(3)])
    reader = SegmentReader(either, "recipe", name)
    with pytest.raises(StoreError, match="is damaged"):
        reader.image(3 + beyond)
    assert reader.image(2) == outputs([segment_image(2)])[0]
    reader.close()


def test_a_reader_that_met_damage_reads_the_sound_rest(local):
    images = [segment_image(number) for number in range(ROW_GROUP_ROWS + 5)]
    name = write_segment(local, "recipe", images)
    path = local.folder / layout.segment("recipe", name)
    data = bytearray(path.read_bytes())
    second = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data[second.data_page_offset + second.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    reader = SegmentReader(local, "recipe", name)
    for _ in range(2):
        with pytest.raises(StoreError, match="is damaged"):
            reader.image(ROW_GROUP_ROWS)
    assert reader.image(7) == outputs(images)[7]
    reader.close()
    assert segment_digest(local, "recipe", name) != name


def test_rows_without_the_images_say_what_each_output_is(either):
    images = [segment_image(number, variants=3) for number in range(2)]
    rows = read_segment(either, "recipe", write_segment(either, "recipe", images)).to_pylist()
    assert [(row["sha256"], row["variant"]) for row in rows] == [
        (sha256_of(number), variant) for number in range(2) for variant in range(3)
    ]
    assert [row["output_sha256"] for row in rows] == [hashlib.sha256(data).hexdigest() for data in outputs(images)]
    assert [row["output_bytes"] for row in rows] == [len(data) for data in outputs(images)]
    assert "image" not in rows[0]
    facts = {name: rows[0][name] for name in ("taken_at", "flags", "gps_latitude")}
    assert facts == {"taken_at": "2024-05-01T12:30:00", "flags": ["animated"], "gps_latitude": None}


def test_the_image_column_is_what_hugging_face_datasets_takes_for_images(local):
    name = write_segment(local, "recipe", [segment_image(0)])
    schema = pq.read_schema(local.folder / layout.segment("recipe", name))
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}}
    assert str(schema.field("image").type) == "struct<bytes: binary, path: string>"
    head = unseal(schema.metadata[b"image_assets"], "segment")
    assert head == {"format_version": FORMAT_VERSION, "recipe_id": "recipe"}


def test_duckdb_reads_a_segment_as_it_is(local):
    images = [segment_image(number) for number in range(ROW_GROUP_ROWS + 2)]
    path = local.folder / layout.segment("recipe", write_segment(local, "recipe", images))
    found = duckdb.execute(
        "SELECT image.bytes, image.path, output_sha256, flags FROM read_parquet(?)", [str(path)]
    ).fetchall()
    assert [row[0] for row in found] == outputs(images)
    assert found[0][1:] == (f"{found[0][2][:32]}.jpg", hashlib.sha256(outputs(images)[0]).hexdigest(), ["animated"])


def test_what_a_file_browser_leaves_behind_is_no_segment(local):
    name = write_segment(local, "recipe", [segment_image(0)])
    for stray in (".DS_Store", f"._{name}.parquet", "copy of it.parquet"):
        local.put(layout.segments_of("recipe") + stray, b"x")
    assert list(iter_segments(local, "recipe")) == [name]
