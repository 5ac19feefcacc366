"""Plug-ins that write files users want: one file and one line here each."""

from pathlib import Path

from image_assets.core.errors import ConfigError
from image_assets.formats.base import Format
from image_assets.formats.csv_file import CsvFile
from image_assets.formats.hdf5_file import Hdf5File
from image_assets.formats.json_file import JsonFile
from image_assets.formats.numpy_file import NumpyFile
from image_assets.formats.parquet_file import ParquetFile

FORMATS: dict[str, Format] = {
    "csv": CsvFile(),
    "hdf5": Hdf5File(),
    "json": JsonFile(),
    "numpy": NumpyFile(),
    "parquet": ParquetFile(),
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
    suffix = Path(path).suffix.lower()
    for name, kind in FORMATS.items():
        if suffix in (kind.suffix, *kind.other_suffixes):
            return name
    known = ", ".join(" or ".join((kind.suffix, *kind.other_suffixes)) for kind in FORMATS.values())
    raise ConfigError(f"{str(path)!r} ends in {suffix or 'no suffix'!r}, which names no format; known: {known}")
