"""Plug-ins that write files users want: one file and one line here each."""

from pathlib import Path

from image_assets.core.errors import ConfigError
from image_assets.formats.base import Format
from image_assets.formats.csv_file import CsvFile
from image_assets.formats.files_folder import FilesFolder
from image_assets.formats.hdf5_file import Hdf5File
from image_assets.formats.huggingface_file import HuggingFaceFile
from image_assets.formats.json_file import JsonFile
from image_assets.formats.jsonl_file import JsonlFile
from image_assets.formats.lance_folder import LanceFolder
from image_assets.formats.npy_file import NpyFile
from image_assets.formats.numpy_file import NumpyFile
from image_assets.formats.parquet_file import ParquetFile
from image_assets.formats.tfrecord_file import TfrecordFile
from image_assets.formats.webdataset_file import WebDatasetFile

FORMATS: dict[str, Format] = {
    "csv": CsvFile(),
    "files": FilesFolder(),
    "hdf5": Hdf5File(),
    "huggingface": HuggingFaceFile(),
    "json": JsonFile(),
    "jsonl": JsonlFile(),
    "lance": LanceFolder(),
    "npy": NpyFile(),
    "numpy": NumpyFile(),
    "parquet": ParquetFile(),
    "tfrecord": TfrecordFile(),
    "webdataset": WebDatasetFile(),
}


def find_format(name: str) -> Format:
    """Return the format of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FORMATS:
        raise ConfigError(f"unknown format {name!r}; known: {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def format_for_path(path: Path | str) -> str:
    """Return the name of the format that a file name's ending asks for, in upper or lower case.

    Raises:
        ConfigError: no format has that ending.
    """
    file_name = Path(path).name.lower()
    suffix = Path(path).suffix.lower()
    # The longest first: ``.hf.parquet`` is no ``.parquet``.
    endings = sorted(
        ((ending, name) for name, kind in FORMATS.items() for ending in _endings(kind)),
        key=lambda pair: -len(pair[0]),
    )
    for ending, name in endings:
        if file_name.endswith(ending) and file_name != ending:
            return name
    known = ", ".join(" or ".join(_endings(kind)) for kind in FORMATS.values() if _endings(kind))
    raise ConfigError(f"{str(path)!r} ends in {suffix or 'no suffix'!r}, which names no format; known: {known}")


def _endings(kind: Format) -> tuple[str, ...]:
    """Return the endings that mean a format; a folder of plain files has none."""
    return tuple(ending for ending in (kind.suffix, *kind.other_suffixes) if ending)
