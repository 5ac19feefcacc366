"""Columns of bytes are read as pyarrow reads them, however they are written; damage is an error and not a crash."""

import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import SourceError
from image_assets.sources.parquet_page_headers import DamagedPageError, read_page_header
from image_assets.sources.parquet_pages import BytesColumn, ReadFrom
from image_assets.sources.stretch import Stretch
from image_assets_tests.sources.test_archives import Bytes

RANDOM = random.Random(0)
# Some repeat themselves, near and far: those are what a compressed page refers back to.
VALUES = [
    *(RANDOM.randbytes(size) for size in (0, 1, 5, 1000, 70_000, 300_000)),
    b"ab" * 40_000,
    *(RANDOM.randbytes(50) * 30 for _ in range(20)),
    bytes(200_000),
]


def write(path: Path, values: list[bytes | None], **how: object) -> Path:
    schema = pa.schema([pa.field("image", pa.struct([("bytes", pa.binary())]))])
    rows = [{"image": None if value is None else {"bytes": value}} for value in values]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, **how)
    return path


def read(path: Path, skipped: int = 0) -> list[bytes | None]:
    metadata = pq.read_metadata(path)
    column = BytesColumn.find(metadata, "image.bytes")
    assert column is not None
    return values_of(column, path, skipped, groups=metadata.num_row_groups)


def values_of(column: BytesColumn, path: Path, skipped: int = 0, groups: int = 1) -> list[bytes | None]:
    file = ReadFrom(Bytes(path.read_bytes()), 2**16)
    return [value for at in range(groups) for value in column.values(file, at, 0 if at else skipped)]


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_values_are_those_that_were_written(codec, version, dictionary, tmp_path):
    values = [None, *VALUES, None, None, *VALUES[:4] * 5]
    how = {"compression": codec, "data_page_version": version, "use_dictionary": dictionary}
    path = write(tmp_path / "t.parquet", values, **how, row_group_size=20, write_batch_size=3, data_page_size=1000)
    assert read(path) == values


def test_a_dictionary_that_outgrows_memory_and_pages_without_one_are_read(tmp_path):
    values = [RANDOM.randbytes(40_000) for _ in range(200)]
    path = write(tmp_path / "t.parquet", values * 2, write_batch_size=100)
    assert {"PLAIN", "RLE_DICTIONARY"} <= set(pq.read_metadata(path).row_group(0).column(0).encodings)
    assert read(path) == values * 2


@pytest.mark.parametrize("skipped", [1, 19, 20])
def test_values_before_the_first_are_left_out(skipped, tmp_path):
    path = write(tmp_path / "t.parquet", VALUES, write_batch_size=4, data_page_size=1, use_dictionary=False)
    assert read(path, skipped) == VALUES[skipped:]


def test_a_column_without_a_missing_value_has_no_levels(tmp_path):
    schema = pa.schema([pa.field("image", pa.binary(), nullable=False)])
    pq.write_table(pa.table([VALUES], schema=schema), tmp_path / "t.parquet")
    column = BytesColumn.find(pq.read_metadata(tmp_path / "t.parquet"), "image")
    assert values_of(column, tmp_path / "t.parquet") == VALUES


@pytest.mark.parametrize("how", [{"compression": "lz4"}, {"column_encoding": "DELTA_LENGTH_BYTE_ARRAY"}])
def test_what_is_not_read_here_is_said(how, tmp_path):
    path = write(tmp_path / "t.parquet", VALUES, use_dictionary=False, **how)
    assert BytesColumn.find(pq.read_metadata(path), "image.bytes") is None


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_damage_is_one_error_and_never_a_crash(codec, dictionary, tmp_path):
    path = write(tmp_path / "t.parquet", VALUES, compression=codec, use_dictionary=dictionary)
    sound, draw = path.read_bytes(), random.Random(1)
    metadata = pq.read_metadata(path)
    column = BytesColumn.find(metadata, "image.bytes")
    end = 4 + metadata.row_group(0).column(0).total_compressed_size
    refused = 0
    for _ in range(150):
        damaged = bytearray(sound)
        # Mostly where headers, levels and lengths are.
        damaged[draw.choice([draw.randrange(4, 60), draw.randrange(4, end)])] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            values_of(column, path)
        except DamagedPageError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x15" + b"\x80" * 2**20,  # a number without an end
        b"\x1c" * 5000,  # structures in structures
        b"\x18\xff\xff\xff\xff\x7f",  # a text of gigabytes
        b"\x15\x06\x15\x10\x15\x0f\x00",  # a page of minus eight bytes: what follows it would be itself
        b"\x15\x00\x15\x02\x15\x02\x2c\x15\x01\x15\x00\x00\x00",  # minus one value
        b"\x15\x00\x15\x02\x15\x02\x28\x00\x00",  # text where its numbers should be
    ],
)
def test_a_header_that_cannot_be_is_an_error_at_once(data):
    with pytest.raises(DamagedPageError):
        read_page_header(Stretch(Bytes(data), 0, len(data), 2**16))


def test_what_lies_behind_a_column_is_not_read(tmp_path):
    path = write(tmp_path / "t.parquet", VALUES, row_group_size=5, compression="none")
    metadata, reader = pq.read_metadata(path), Bytes(path.read_bytes())
    column = metadata.row_group(2).column(0)
    start = column.dictionary_page_offset
    assert list(BytesColumn.find(metadata, "image.bytes").values(ReadFrom(reader, 2**20), 2, 0)) == VALUES[10:15]
    assert reader.asked == [(start, column.total_compressed_size)]


def test_no_room_for_a_dictionary_is_no_damage(tmp_path, monkeypatch):
    path = write(tmp_path / "t.parquet", [RANDOM.randbytes(40_000) for _ in range(100)])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SourceError, match="set TMPDIR"):
        read(path)
