"""Every format's files read back by somebody else's code."""

import csv
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


# A format without a line here fails its contract.
READERS: dict[str, Callable[[Path], ReadBack]] = {
    "csv": read_csv,
    "hdf5": read_hdf5,
    "huggingface": read_huggingface,
    "json": read_json,
    "jsonl": read_jsonl,
    "numpy": read_numpy,
    "parquet": read_parquet,
    "tfrecord": read_tfrecord,
    "webdataset": read_webdataset,
}


def _from_dicts(rows: list[dict[str, Any]]) -> ReadBack:
    images = np.array([row["image_array"] for row in rows]) if rows else np.empty((0, 0, 0, 0))
    variants = [int(row["variant"]) for row in rows] if rows and "variant" in rows[0] else None
    return ReadBack([row["filename"] for row in rows], [row["label"] for row in rows], images, variants)
