"""Writes every format into a folder:  python -m ... FOLDER."""

import sys
from pathlib import Path

from image_assets.formats import FORMATS
from image_assets.formats.base import ExportOptions
from image_assets_tests.datasets import Look, awkward_pictures, stream_of

# Lance names its files at random.
BYTES_ALIKE = sorted(set(FORMATS) - {"lance"})


def write_all(folder: Path) -> dict[str, bytes]:
    """Write every format and return the files' bytes."""
    for name in BYTES_ALIKE:
        kind = FORMATS[name]
        stream = stream_of(awkward_pictures(), Look(variants=1))
        normalization = "none" if kind.encoded else "0-1"
        kind.write(stream, folder / name, ExportOptions(image_array=True, normalization=normalization))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
