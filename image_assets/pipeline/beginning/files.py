"""What a single file says of itself without being read: names in an archive, rows and columns of a table or a list."""

import csv
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from image_assets.core.errors import SourceError

# Lines of a list that are counted.
MAX_LINES = 200_000


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows there are, whether that is all of them, and what their columns are called."""

    count: int
    complete: bool
    columns: tuple[str, ...]


def archive_members(path: Path) -> Iterator[tuple[str, int]]:
    """Yield (name, size in bytes) of the files in an archive, in its order.

    Raises:
        SourceError: it is none, or is damaged.
    """
    try:
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                yield from ((item.filename, item.file_size) for item in archive.infolist() if not item.is_dir())
        else:
            with tarfile.open(path) as archive_of_tar:
                yield from ((member.name, member.size) for member in archive_of_tar if member.isfile())
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise SourceError(f"archive {path} cannot be read: {error}; is it whole?") from error


def rows_of(path: Path) -> Rows | None:
    """Return what a Parquet file, a CSV or a text file says of its rows, None for a file of another kind.

    Raises:
        SourceError: it cannot be read.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return _of_parquet(path)
        if suffix in {".csv", ".txt"}:
            return _of_lines(path, with_header=suffix == ".csv")
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}; is it whole, and UTF-8?") from error
    return None


def _of_parquet(path: Path) -> Rows:
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    return Rows(metadata.num_rows, complete=True, columns=tuple(metadata.schema.to_arrow_schema().names))


def _of_lines(path: Path, *, with_header: bool) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:
        columns = tuple(next(csv.reader(file), ())) if with_header else ()
        lines = (line for line in file if line.strip() and not line.startswith("#"))
        count = sum(1 for _ in islice(lines, MAX_LINES + 1))
    return Rows(min(count, MAX_LINES), complete=count <= MAX_LINES, columns=columns)
