"""Every format's files read back by somebody else's code."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray


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


# A format without a line here fails its contract.
READERS: dict[str, Callable[[Path], ReadBack]] = {
    "csv": read_csv,
    "hdf5": read_hdf5,
    "json": read_json,
    "numpy": read_numpy,
    "parquet": read_parquet,
}


def _from_dicts(rows: list[dict[str, Any]]) -> ReadBack:
    images = np.array([row["image_array"] for row in rows]) if rows else np.empty((0, 0, 0, 0))
    variants = [int(row["variant"]) for row in rows] if rows and "variant" in rows[0] else None
    return ReadBack([row["filename"] for row in rows], [row["label"] for row in rows], images, variants)
