"""What each tool wrote, read back as rows: key, label, hash of the raw bytes, JPEG bytes."""

import csv
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class OutputImage:
    """One image of a finished dataset; ``key`` is ``label/name`` of its raw file."""

    key: str
    label: str
    sha256: str
    jpeg: bytes


def read_files_and_csv(output: Path) -> Iterator[OutputImage]:
    """Yield the rows of ``labels.csv`` with the files beside it."""
    with (output / "labels.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            yield OutputImage(row["key"], row["label"], row["sha256"], (output / row["key"]).read_bytes())


def read_parquet_folder(output: Path) -> Iterator[OutputImage]:
    """Yield the rows of all Parquet files of a folder."""
    for path in sorted(output.rglob("*.parquet")):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            yield OutputImage(row["key"], row["label"], row["sha256"], row["jpeg"])


def read_saved_dataset(output: Path) -> Iterator[OutputImage]:
    """Yield the rows of a Hugging Face dataset on disk, whose labels are numbers of names."""
    names = json.loads((output / "dataset_info.json").read_text())["features"]["label"]["names"]
    for file in json.loads((output / "state.json").read_text())["_data_files"]:
        with pa.memory_map(str(output / file["filename"])) as stream:
            for row in pa.ipc.open_stream(stream).read_all().to_pylist():
                yield OutputImage(row["key"], names[row["label"]], row["sha256"], row["image"]["bytes"])


def read_webdataset(output: Path) -> Iterator[OutputImage]:
    """Yield the samples of img2dataset's shards: ``.jpg``, and ``.json`` with URL, caption and hash."""
    for shard in sorted(output.glob("*.tar")):
        members: dict[str, Any] = {}
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member)
                members[member.name] = content.read() if content else b""
        for name in sorted(name for name in members if name.endswith(".jpg")):
            facts = json.loads(members[f"{name.removesuffix('.jpg')}.json"])
            key = "/".join(facts["url"].split("/")[-2:])
            yield OutputImage(key, facts["caption"], facts["sha256"], members[name])


def read_store(output: Path) -> Iterator[OutputImage]:
    """Yield the rows of an image_assets store: the index names the segment and the row in it."""
    index = pq.read_table(output / "index.parquet").sort_by("segment").to_pylist()
    name, images = "", []
    for row in index:
        if row["segment"] != name:
            name = row["segment"]
            (segment,) = output.glob(f"segments/*/{name}.parquet")
            images = pq.read_table(segment, columns=["image"]).column("image").to_pylist()
        yield OutputImage(row["key"], row["label"], row["sha256"], images[row["row"]]["bytes"])
