"""Parquet and Arrow tables as sources: columns, labels, groups, one pass, and damage."""

import hashlib
import random
import tracemalloc

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.listing import UNKNOWN_SIZE
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source
from image_assets.sources.table_files import ArrowStream, ParquetTable
from image_assets_tests.containers import image_table, write_parquet
from image_assets_tests.images import image_bytes, write_images
from image_assets_tests.sources.test_archives import Bytes, labels, read_all, source_of

LIMIT = 10**6
IMAGES = [image_bytes(number) for number in range(7)]
LABELS = ["hat", "shirt", "hat", "hat", "shirt", "hat", "hat"]


def write_arrow(path, table, *, stream=False):
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(str(path), table.schema) as writer:
        writer.write_table(table, 3)
    return path


def write_feather(path, table):
    pyarrow.feather.write_feather(table, str(path), chunksize=3)
    return path


WRITERS = {
    "x.parquet": lambda path, table: write_parquet(path, table, rows_a_group=3),
    "x.arrow": write_arrow,
    "stream.arrow": lambda path, table: write_arrow(path, table, stream=True),
    "x.feather": write_feather,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_table_is_listed_and_read(tmp_path, name):
    source = source_of(WRITERS[name](tmp_path / name, image_table(IMAGES, LABELS)))
    assert read_all(source) == {f"{name}#{number:012d}": data for number, data in enumerate(IMAGES)}
    assert list(dict(sorted(labels(source).items())).values()) == LABELS
    table = source.list().table
    assert set(table["size_bytes"].to_pylist()) == {UNKNOWN_SIZE}
    # What is one group is one unit; of a stream only the order is known.
    assert len(set(table["bucket"].to_pylist())) == (1 if name == "stream.arrow" else 3)


@pytest.mark.parametrize("name", WRITERS)
def test_a_row_is_found_by_its_key_alone(tmp_path, name):
    source = source_of(WRITERS[name](tmp_path / name, image_table(IMAGES)))
    assert source.read(f"{name}#000000000004", None, max_bytes=LIMIT).data == IMAGES[4]
    with pytest.raises(VanishedError):
        source.read(f"{name}#000000000007", None, max_bytes=LIMIT)


STRUCTS = pa.array([{"bytes": data} for data in IMAGES], pa.struct([("bytes", pa.large_binary())]))
NUMBERS = pa.array(range(7))


@pytest.mark.parametrize(
    ("columns", "settings"),
    [
        ({"id": NUMBERS, "picture": IMAGES}, {}),  # bytes that look like an image
        ({"raw": [b"x"] * 7, "picture": pa.array(IMAGES, pa.large_binary())}, {}),
        ({"id": NUMBERS, "picture": STRUCTS}, {}),
        ({"thumb": IMAGES[::-1], "picture": STRUCTS}, {}),  # structs come before plain bytes
        ({"thumb": IMAGES[::-1], "picture": IMAGES}, {"image_column": "picture"}),
    ],
)
def test_the_column_of_images_is_found(tmp_path, columns, settings):
    source = source_of(write_parquet(tmp_path / "x.parquet", pa.table(columns)), **settings)
    assert list(dict(sorted(read_all(source).items())).values()) == IMAGES


@pytest.mark.parametrize(
    ("columns", "settings", "says"),
    [
        ({"id": NUMBERS, "raw": [b"x"] * 7}, {}, "no column of images; found: id, raw; set source.image_column"),
        ({"one": IMAGES, "two": IMAGES}, {}, "several columns could be images: one, two; set source.image_column"),
        ({"one": IMAGES}, {"image_column": "two"}, "no column 'two'"),
        ({"one": NUMBERS}, {"image_column": "one"}, "holds int64"),
    ],
)
def test_a_column_of_images_that_is_not_clear_is_asked_for(tmp_path, columns, settings, says):
    with pytest.raises(SourceError, match=says):
        source_of(write_parquet(tmp_path / "x.parquet", pa.table(columns)), **settings).list()


@pytest.mark.parametrize(
    ("values", "settings", "expected"),
    [
        ({"label": LABELS}, {}, LABELS),
        ({"label": [1, 2, None, 4, 5, 6, 7]}, {}, ["1", "2", "", "4", "5", "6", "7"]),
        ({"class": LABELS}, {"label_column": "class"}, LABELS),
        ({"class": LABELS}, {}, [""] * 7),
        ({"label": pa.array(LABELS).dictionary_encode()}, {}, LABELS),
    ],
)
def test_labels_become_text(tmp_path, values, settings, expected):
    path = write_parquet(tmp_path / "x.parquet", pa.table({"image": IMAGES, **values}))
    assert [label for _, label in sorted(labels(source_of(path, **settings)).items())] == expected


def test_numbers_of_classes_that_have_no_name_are_no_label(tmp_path):
    table = image_table(IMAGES, LABELS)
    table = table.set_column(1, "label", pa.array([-1, 0, 1, 2, None, 0, 0]))
    found = labels(source_of(write_parquet(tmp_path / "x.parquet", table)))
    assert [label for _, label in sorted(found.items())] == ["", "hat", "shirt", "", "", "hat", "hat"]


def test_paths_in_a_table_are_read_below_its_folder_and_nowhere_else(tmp_path):
    write_images(tmp_path / "raw/data/pics", 2)
    (tmp_path / "secret.jpg").write_bytes(IMAGES[0])
    paths = ["pics/a/0.jpg", "pics/b/1.jpg", "../../secret.jpg", str(tmp_path / "secret.jpg"), "none.jpg", None]
    path = tmp_path / "raw/data/x.parquet"
    write_parquet(path, pa.table({"file": paths}))
    source = source_of(tmp_path / "raw", kind="tables", image_column="file")
    rows = sorted(source.list().table.to_pylist(), key=lambda row: row["key"])
    data = [source.read(row["key"], row["locator"], max_bytes=LIMIT).data for row in rows[:2]]
    assert data == IMAGES[:2]
    for row, says in zip(rows[2:], ["outside_root", "outside_root", "not there", "no image"], strict=True):
        with pytest.raises(SourceFileError, match=says):
            source.read(row["key"], row["locator"], max_bytes=LIMIT)


def test_a_group_is_read_once_however_many_of_its_rows_are_asked_for():
    images = [random.Random(number).randbytes(100_000) for number in range(60)]
    sink = pa.BufferOutputStream()
    options = {"row_group_size": 30, "compression": "none", "use_dictionary": False}
    # A page is read as a whole; pyarrow looks at its size only after so many values.
    pq.write_table(image_table(images), sink, write_batch_size=2, **options)
    reader = Bytes(sink.getvalue().to_pybytes())
    table = ParquetTable(reader, 2**18)
    reader.asked.clear()
    values = [value for array in table.rows(1, "image") for value in array.to_pylist()]
    assert [value["bytes"] for value in values] == images[30:]
    assert sum(length for _, length in reader.asked) <= 1.05 * 30 * 100_000
    # Never all of it at once: that would be the memory that a group of gigabytes takes.
    assert max(length for _, length in reader.asked) < 10 * 2**18


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_page_of_40_mb_is_never_held(dictionary):
    images = [random.Random(number).randbytes(10**6) for number in range(40)]
    sink = pa.BufferOutputStream()
    pq.write_table(image_table(images), sink, use_dictionary=dictionary)
    sizes = [hashlib.sha256(data).digest() for data in images]
    table = ParquetTable(Bytes(sink.getvalue().to_pybytes()), 2**18)
    del images, sink
    found, most, before = [], 0, pa.total_allocated_bytes()
    tracemalloc.start()
    for array in table.rows(0, "image"):
        most = max(most, pa.total_allocated_bytes() - before)
        found += [hashlib.sha256(value["bytes"].as_py()).digest() for value in array]
    most += tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == sizes
    assert most < 16 * 10**6


def test_the_labels_of_a_stream_do_not_hold_its_images(tmp_path):
    table = image_table([random.Random(number).randbytes(10**6) for number in range(30)], ["hat", "shirt"] * 15)
    stream = ArrowStream(Bytes(write_arrow(tmp_path / "x.arrow", table, stream=True).read_bytes()))
    tracemalloc.start()
    [(rows, labels)] = stream.groups(["label"])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (rows, labels["label"].to_pylist()) == (30, [0, 1] * 15)
    assert most < 10**7


def test_a_struct_without_bytes_names_a_file_and_only_then_are_paths_read(tmp_path):
    write_images(tmp_path, 1)
    rows = [*({"bytes": data, "path": "none.jpg"} for data in IMAGES[1:]), {"bytes": None, "path": "a/0.jpg"}, None]
    structs = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    path = write_parquet(tmp_path / "x.parquet", pa.table({"image": structs}), rows_a_group=3)
    listed = sorted(source_of(path).list().table.to_pylist(), key=lambda row: row["key"])
    found = [read_or_reason(source_of(path), row) for row in listed]
    assert found == [*IMAGES[1:], IMAGES[0], "unreadable"]
    reader = Bytes(path.read_bytes())
    table = ParquetTable(reader, 2**18)
    reader.asked.clear()
    assert [len(array) for array in table.rows(0, "image")] == [3]
    column = pq.read_metadata(path).row_group(0).column(0)
    assert sum(length for _, length in reader.asked) == column.total_compressed_size


def read_or_reason(source, row):
    try:
        return source.read(row["key"], row["locator"], max_bytes=LIMIT).data
    except SourceFileError as error:
        return error.reason


def damaged(data):
    middle = len(data) // 2
    return data[:middle] + b"\xff" * 200 + data[middle + 200 :]


@pytest.mark.parametrize(
    ("name", "change"),
    [("x.parquet", lambda data: data[:-20]), ("x.parquet", lambda data: b""), ("x.parquet", lambda data: b"x" * 999),
     ("x.arrow", lambda data: data[:-300]), ("x.feather", lambda data: b"FEA1" + data[4:])],
)  # fmt: skip
def test_a_table_that_cannot_be_listed_is_one_failed_row_and_the_others_go_on(tmp_path, name, change):
    WRITERS[name](tmp_path / name, image_table(IMAGES))
    (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    write_parquet(tmp_path / "good.parquet", image_table(IMAGES))
    listing = build_source(SourceSettings(kind="tables", path=str(tmp_path))).list()
    assert listing.num_rows == 8
    assert listing.unseen == (f"{name}#",)


def test_rows_behind_damage_fail_one_by_one_without_reading_all_again(tmp_path):
    images = [random.Random(number).randbytes(3000) for number in range(40)]
    path = write_parquet(tmp_path / "x.parquet", image_table(images), rows_a_group=20)
    path.write_bytes(damaged(path.read_bytes()))
    source = source_of(path)
    rows = sorted(source.list().table.to_pylist(), key=lambda row: row["key"])
    found = [read_or_reason(source, row) for row in rows]
    # One group is whole; in the other nothing is taken for what it is not, but for the one image that was hit.
    assert sum(item in images for item in found) >= 20
    assert sum(item in images or item == "unreadable" for item in found) >= 39


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "lz4"])
def test_rows_before_damage_are_read_and_the_others_fail(tmp_path, codec):
    images = [random.Random(number).randbytes(40_000) for number in range(100)]
    path = tmp_path / "x.parquet"
    options = {"use_dictionary": False, "compression": codec, "write_batch_size": 50, "data_page_size": 1}
    pq.write_table(image_table(images), path, **options)
    data = bytearray(path.read_bytes())
    # The length of an image where it is stored as it is, a header where it is compressed.
    hit = data.find(images[70]) if codec == "none" else 3 * len(data) // 4
    data[hit - 8 : hit] = b"\xff" * 8
    path.write_bytes(data)
    source = source_of(path, image_column="image")
    found = [read_or_reason(source, row) for row in sorted(source.list().table.to_pylist(), key=lambda row: row["key"])]
    assert found[:50] == images[:50]
    wrong = [item for item, image in zip(found, images, strict=True) if item not in {image, "unreadable"}]
    assert len(wrong) <= 1
