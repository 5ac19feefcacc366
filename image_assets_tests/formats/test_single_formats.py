"""What single formats promise beyond the common contract: columns, types, and readers of other makes."""

import json
from pathlib import Path

import duckdb
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from image_assets.formats import FORMATS
from image_assets.formats.base import ExportOptions
from image_assets_tests.datasets import Look, Picture, awkward_pictures, pictures, stream_of

ROWS = [Picture("a/1.jpg", 1, "a"), Picture("b/2.jpg", 2, None)]
PLAIN = ExportOptions()


def test_csv_holds_five_columns_and_nothing_for_a_missing_label(tmp_path: Path) -> None:
    FORMATS["csv"].write(stream_of(ROWS), tmp_path / "out.csv", PLAIN)
    lines = (tmp_path / "out.csv").read_bytes().decode().split("\n")
    assert lines[0] == "filename,label,width,height,format"
    assert sorted(lines[1:]) == ["", "a/1.jpg,a,8,6,png", "b/2.jpg,,8,6,png"]


def test_csv_adds_the_variant_after_the_five_columns(tmp_path: Path) -> None:
    FORMATS["csv"].write(stream_of(ROWS[:1], Look(variants=1)), tmp_path / "out.csv", PLAIN)
    assert (tmp_path / "out.csv").read_text() == (
        "filename,label,width,height,format,variant\na/1.jpg,a,8,6,png,0\na/1.jpg,a,8,6,png,1\n"
    )


def test_csv_with_awkward_names_is_read_by_arrow_and_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    FORMATS["csv"].write(stream_of(awkward_pictures()), path, PLAIN)
    names = sorted(item.key for item in awkward_pictures())
    options = pa_csv.ParseOptions(newlines_in_values=True)
    assert sorted(pa_csv.read_csv(path, parse_options=options)["filename"].to_pylist()) == names
    query = "select filename from read_csv(?, header = true, all_varchar = true, quote = '\"', escape = '\"')"
    assert sorted(row[0] for row in duckdb.execute(query, [str(path)]).fetchall()) == names


def test_csv_quotes_an_empty_label_so_that_it_is_not_a_missing_one(tmp_path: Path) -> None:
    FORMATS["csv"].write(stream_of([Picture("a.jpg", 1, "")]), tmp_path / "out.csv", PLAIN)
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == 'a.jpg,"",8,6,png'


def test_json_is_one_array_with_an_object_a_line(tmp_path: Path) -> None:
    FORMATS["json"].write(stream_of(ROWS), tmp_path / "out.json", PLAIN)
    text = (tmp_path / "out.json").read_text()
    assert sorted(json.loads(text), key=lambda row: row["filename"]) == [
        {"filename": "a/1.jpg", "label": "a", "width": 8, "height": 6, "format": "png"},
        {"filename": "b/2.jpg", "label": None, "width": 8, "height": 6, "format": "png"},
    ]
    assert len(text.splitlines()) == 4


def test_json_of_an_empty_dataset_is_an_empty_array(tmp_path: Path) -> None:
    FORMATS["json"].write(stream_of([]), tmp_path / "out.json", PLAIN)
    assert (tmp_path / "out.json").read_text() == "[]\n"


def test_parquet_holds_the_index_under_users_names_and_says_which_it_is(tmp_path: Path) -> None:
    stream = stream_of(ROWS)
    FORMATS["parquet"].write(stream, tmp_path / "out.parquet", PLAIN)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names[:9] == [
        *("filename", "label", "width", "height", "format"),
        *("variant", "id", "sha256", "output_sha256"),
    ]
    assert not {"segment", "row", "bucket", "image_array"} & set(table.column_names)
    assert table["flags"].to_pylist() == [["animated"]] * 2
    head = json.loads(table.schema.metadata[b"image_assets"])
    assert head == {"dataset": "tiny", "digest": stream.digest, "normalization": "none"}


def test_parquet_is_read_by_duckdb_with_pixels_as_a_flat_list(tmp_path: Path) -> None:
    path = str(tmp_path / "out.parquet")
    stream = stream_of(ROWS)
    FORMATS["parquet"].write(stream, Path(path), ExportOptions(image_array=True))
    rows = duckdb.execute("select image_array from read_parquet(?)", [path]).fetchall()
    images = next(stream.batches(True)).images
    assert images is not None
    assert [list(row[0]) for row in rows] == [image.reshape(-1).tolist() for image in images]


def test_parquet_pixels_are_a_tensor_of_the_image_s_shape(tmp_path: Path) -> None:
    FORMATS["parquet"].write(stream_of(ROWS), tmp_path / "out", ExportOptions(True, "0-1"))
    assert pq.read_schema(tmp_path / "out").field("image_array").type == pa.fixed_shape_tensor(pa.float32(), (6, 8, 3))


def test_numpy_arrays_have_plain_types_and_texts_of_the_longest_length(tmp_path: Path) -> None:
    FORMATS["numpy"].write(stream_of(pictures(12)), tmp_path / "out.npz", PLAIN)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        types = {name: file[name].dtype.str for name in file}
        assert file["normalization"] == "none"
    assert types.pop("digest") == "<U64"
    assert types == {
        "dataset": "<U4",
        "normalization": "<U4",
        "label_names": "<U1",
        "filenames": "<U8",
        "labels": "<U1",
        "label_ids": "<i4",
        "images": "|u1",
    }


def test_hdf5_keeps_each_image_in_its_own_chunk_and_names_the_dataset(tmp_path: Path) -> None:
    stream = stream_of(pictures(5))
    FORMATS["hdf5"].write(stream, tmp_path / "out.h5", ExportOptions(normalization="-1-1"))
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["images"].chunks == (1, 6, 8, 3)
        assert file["images"].dtype == np.float32
        assert dict(file.attrs) == {"dataset": "tiny", "digest": stream.digest, "normalization": "-1-1"}
