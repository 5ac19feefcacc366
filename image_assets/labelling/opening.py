"""The file of a platform's export, as it is or inside the ZIP file that the platform packs it into."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from image_assets.core.errors import AnnotationError


@contextmanager
def opened_export(path: Path, ending: str) -> Iterator[IO[bytes]]:
    """Yield a file for reading; of a ZIP file the one file in it with that ending, unpacked as it is read.

    Raises:
        AnnotationError: it is a folder, a damaged ZIP file, or one that holds none or several such files.
        OSError: it cannot be read.
    """
    if path.is_dir():
        raise AnnotationError(f"{path} is a folder; name the file that the platform exported")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            yield file
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(ending)]
            if len(names) != 1:
                found = ", ".join(names[:3]) if names else "none"
                raise AnnotationError(f"{path.name} holds {found}; unpack it and name one *{ending} file")
            with archive.open(names[0]) as file:
                yield file
    # An encrypted member is a RuntimeError.
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise AnnotationError(f"{path.name} is a damaged ZIP file: {error}") from error
