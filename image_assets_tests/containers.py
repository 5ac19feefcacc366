"""Archives and tables of images, made on the spot."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_tar(path: Path, members: Mapping[str, bytes], *, mode: str = "w", form: int = tarfile.PAX_FORMAT) -> Path:
    """Write members in their order."""
    with tarfile.open(path, mode, format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write members in their order."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def image_table(images: Sequence[bytes | None], labels: Sequence[str] | None = None) -> pa.Table:
    """Return a table as ``datasets`` writes it: structs with bytes, classes by number, and what they mean."""
    features: dict[str, object] = {"image": {"_type": "Image"}}
    columns = {"image": pa.array([{"bytes": data, "path": None} for data in images], IMAGE)}
    if labels is not None:
        names = sorted(set(labels))
        features["label"] = {"_type": "ClassLabel", "names": names}
        columns["label"] = pa.array([names.index(label) for label in labels], pa.int64())
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.table(columns).replace_schema_metadata(metadata)


def write_parquet(path: Path, table: pa.Table, *, rows_a_group: int = 2) -> Path:
    """Write a table in small row groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_a_group, compression="none", use_dictionary=False)
    return path


def write_hub_layout(folder: Path, table: pa.Table, *, files: int = 2) -> Path:
    """Write the rows as the numbered files of a split ``train``, with a card."""
    size = -(-table.num_rows // files)
    for number in range(files):
        name = f"data/train-{number:05d}-of-{files:05d}.parquet"
        write_parquet(folder / name, table.slice(number * size, size))
    card = "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
    (folder / "README.md").write_text(f"---\n{card}---\n# made for a test\n")
    return folder
