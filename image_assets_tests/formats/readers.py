"""Every format's files read back by somebody else's code."""

import csv
import hashlib
import importlib.util
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import pyarrow.parquet as pq
import webdataset
from numpy.typing import NDArray
from PIL import Image

from image_assets.formats import FORMATS
from image_assets_tests.formats.examples import read_examples


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a file holds; ``variants`` is None when it says nothing of them."""

    filenames: list[str]
    labels: list[str | None]
    images: NDArray[Any]
    variants: list[int] | None


def read_csv(path: Path) -> ReadBack:
    csv.field_size_limit(2**24)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return _from_dicts([{**row, "image_array": json.loads(row["image_array"])} for row in rows])


def read_json(path: Path) -> ReadBack:
    return _from_dicts(json.loads(path.read_text(encoding="utf-8")))


def read_parquet(path: Path) -> ReadBack:
    table = pq.read_table(path)
    images = table["image_array"].combine_chunks()
    # pyarrow makes no array of an empty tensor column.
    pixels = images.to_numpy_ndarray() if len(images) else np.empty((0, 0, 0, 0))
    return ReadBack(table["filename"].to_pylist(), table["label"].to_pylist(), pixels, table["variant"].to_pylist())


def read_numpy(path: Path) -> ReadBack:
    with np.load(path, allow_pickle=False) as file:
        labels = [str(file["label_names"][number]) if number >= 0 else None for number in file["label_ids"]]
        assert file["labels"].tolist() == [label or "" for label in labels]
        variants = file["variants"].tolist() if "variants" in file else None
        return ReadBack(file["filenames"].tolist(), labels, file["images"], variants)


def read_npy(path: Path) -> ReadBack:
    records = np.load(path, mmap_mode="r", allow_pickle=False)
    labels = [str(row["labels"]) if row["label_ids"] >= 0 else None for row in records]
    numbered = {(int(row["label_ids"]), str(row["labels"])) for row in records if row["label_ids"] >= 0}
    # A file of one shard has some of the dataset's labels.
    assert [label for _, label in sorted(numbered)] == sorted({label for label in labels if label is not None})
    variants = records["variants"].tolist() if "variants" in records.dtype.names else None
    return ReadBack(records["filenames"].tolist(), labels, np.asarray(records["images"]), variants)


def read_files(path: Path) -> ReadBack:
    with (path / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    files = [(path / row["file_name"]).read_bytes() for row in rows]
    assert [hashlib.sha256(data).hexdigest() for data in files] == [Path(row["file_name"]).stem for row in rows]
    assert {row["file_name"] for row in rows} == {file.relative_to(path).as_posix() for file in path.glob("*/*")}
    variants = [int(row.get("variant") or 0) for row in rows]
    return _decoded(files, [row["key"] for row in rows], [row["label"] for row in rows], variants)


def read_lance(path: Path) -> ReadBack:
    import lance

    rows = lance.dataset(str(path)).to_table().to_pylist()
    columns = ([row[name] for row in rows] for name in ("image", "filename", "label", "variant"))
    return _decoded(*columns)


def read_hdf5(path: Path) -> ReadBack:
    with h5py.File(path) as file:
        names = file["label_names"].asstr()[:]
        labels = [names[number] if number >= 0 else None for number in file["label_ids"][:]]
        assert file["labels"].asstr()[:].tolist() == [label or "" for label in labels]
        variants = file["variants"][:].tolist() if "variants" in file else None
        return ReadBack(file["filenames"].asstr()[:].tolist(), labels, file["images"][:], variants)


def read_jsonl(path: Path) -> ReadBack:
    return _from_dicts([json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line])


def read_huggingface(path: Path) -> ReadBack:
    rows = duckdb.sql(f"SELECT * FROM read_parquet('{path}')").to_arrow_table().to_pylist()
    return _decoded(
        [row["image"]["bytes"] for row in rows],
        [row["filename"] for row in rows],
        [row["label"] for row in rows],
        [row["variant"] for row in rows],
    )


def read_tfrecord(path: Path) -> ReadBack:
    examples = [example.features.feature for example in read_examples(path)]
    return _decoded(
        [features["image/encoded"].bytes_list.value[0] for features in examples],
        [features["image/filename"].bytes_list.value[0].decode() for features in examples],
        [
            features["image/class/text"].bytes_list.value[0].decode() if "image/class/text" in features else None
            for features in examples
        ],
        [features["image/variant"].int64_list.value[0] for features in examples],
    )


def read_webdataset(path: Path) -> ReadBack:
    # A tar without members is no error to us; webdataset calls an empty one that.
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False))
    said = [json.loads(sample["json"]) for sample in samples]
    return _decoded(
        [sample["png"] for sample in samples],
        [row["filename"] for row in said],
        [row["label"] for row in said],
        [row["variant"] for row in said],
    )


def _decoded(images: list[bytes], filenames: list[str], labels: list[str | None], variants: list[int]) -> ReadBack:
    pixels = []
    for data in images:
        with Image.open(io.BytesIO(data)) as image:
            array = np.asarray(image)
        pixels.append(array[:, :, None] if array.ndim == 2 else array)
    return ReadBack(filenames, labels, np.stack(pixels) if pixels else np.empty((0, 0, 0, 0)), variants)


# Those whose library is there: Lance is an extra.
AVAILABLE = [name for name in sorted(FORMATS) if name != "lance" or importlib.util.find_spec("lance")]

# A format without a line here fails its contract.
READERS: dict[str, Callable[[Path], ReadBack]] = {
    "csv": read_csv,
    "files": read_files,
    "hdf5": read_hdf5,
    "huggingface": read_huggingface,
    "json": read_json,
    "jsonl": read_jsonl,
    "lance": read_lance,
    "npy": read_npy,
    "numpy": read_numpy,
    "parquet": read_parquet,
    "tfrecord": read_tfrecord,
    "webdataset": read_webdataset,
}


def _from_dicts(rows: list[dict[str, Any]]) -> ReadBack:
    images = np.array([row["image_array"] for row in rows]) if rows else np.empty((0, 0, 0, 0))
    variants = [int(row["variant"]) for row in rows] if rows and "variant" in rows[0] else None
    return ReadBack([row["filename"] for row in rows], [row["label"] for row in rows], images, variants)
