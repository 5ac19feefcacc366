"""Plain files: each stored image once, under the hash of its bytes, beside a table of which image is which."""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError
from image_assets.formats.base import (
    FILE_ENDINGS,
    ExportOptions,
    SampleStream,
    Unit,
    refuse_normalization,
)
from image_assets.formats.csv_file import csv_line
from image_assets.formats.publishing import LocalFolder

TABLE = "metadata.csv"
# What the table's columns are called -> what the index calls them. ``file_name`` is what imagefolder loaders look for.
_COLUMNS = {"key": "key", "label": "label", "width": "width_px", "height": "height_px", "format": "format"}
_HEAD = f"file_name,{','.join(_COLUMNS)}"
_IMAGE = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{62})\.(?:jpg|png)")
# An object store takes so many files at a time, and a disk syncs them together.
_WRITERS = 8
# 128 bits of each hash, which no two images share; the newest so many wait in a set to be sorted in.
_HASH_BYTES = 16
_WAITING = 65_536


class FileFolder(Protocol):
    """Where the files go: a folder on this machine, or one of a store. Each file is written whole or not at all."""

    def paths(self) -> Iterator[str]:
        """Yield the paths of all files, relative to the folder."""
        ...

    def first_line(self, path: str) -> str | None:
        """Return the first line of a file, None when there is none."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Write a file, over one that is there; called by several threads."""
        ...

    def put_lines(self, path: str, lines: Iterable[str]) -> None:
        """Write a text file, over one that is there."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file."""
        ...


@dataclass(frozen=True, slots=True)
class FilesWritten:
    """How many image files a folder has, how many of them were written now, with how many bytes, and how many went."""

    files: int
    written: int
    written_bytes: int
    removed: int


class FilesFolder:
    """``ab/<hash>.jpg`` or ``.png``: the image as it is stored, named by the SHA-256 of its bytes, once for all copies.

    ``metadata.csv`` has a line a sample: ``file_name,key,label,width,height,format``, perhaps ``variant``, ``frame``
    and ``extra`` (JSON). What is in the folder already is not written and not read again, what is no longer wanted is
    removed.
    """

    suffix = ""
    other_suffixes: tuple[str, ...] = ()
    encoded = True
    always_pixels = True
    value_bytes = (0.0, 0.0, 0.0)
    unit: Unit = "folder"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Bring a folder in line with the samples; files of other names in it stay.

        Raises:
            OSError: a file cannot be written.
            ConfigError: normalised pixels are asked for, or the folder has a ``metadata.csv`` of somebody else.
        """
        refuse_normalization("files", options)
        if target.exists() and not target.is_dir():
            raise FileExistsError(f"{target} is a file; name a folder, or remove it")
        write_files(samples, LocalFolder(target))


def write_files(samples: SampleStream, folder: FileFolder, *, table: bool = True) -> FilesWritten:
    """Bring a folder in line with the samples: first images, then the table, then what is too much goes.

    So a table names nothing that is not there, also when this is killed. In memory are some 64 bytes a file.

    Args:
        table: also write the table; without, it is known to be that of these samples.

    Raises:
        OSError: a file cannot be written.
        ConfigError: the folder has a ``metadata.csv`` of somebody else.
        StoreError: as the folder does.
    """
    if (first := folder.first_line(TABLE)) is not None and not first.startswith(_HEAD):
        raise ConfigError(f"there is a {TABLE} with other columns than {_HEAD}; name an empty folder, or remove it")
    there = _HashSet(_hashes_of(folder.paths()))
    wanted = _HashSet(())
    written = written_bytes = 0
    with ThreadPoolExecutor(_WRITERS) as pool:
        for batch in samples.encoded(lambda rows: _missing(rows, there, wanted)):
            list(pool.map(folder.put, _paths(batch.rows), batch.images))
            written += len(batch.images)
            written_bytes += sum(map(len, batch.images))
    if table:
        folder.put_lines(TABLE, _table(samples))
    # What is there now are the older files and the newer ones: when no more are there than wanted, none is too much.
    removed = _remove_others(folder, wanted) if len(there) > len(wanted) else 0
    return FilesWritten(len(wanted), written, written_bytes, removed)


def _missing(rows: pa.Table, there: "_HashSet", wanted: "_HashSet") -> pa.Table:
    """Return the rows whose file is not there, one for each; all of them are wanted, and then all are there."""
    hashes = rows["output_sha256"].to_pylist()
    wanted.add(hashes)
    first = {text: position for position, text in reversed(list(enumerate(hashes)))}
    new = [position for text, position in first.items() if text not in there]
    there.add([hashes[position] for position in new])
    return rows.take(pa.array(sorted(new), pa.int64()))


def _remove_others(folder: FileFolder, wanted: "_HashSet") -> int:
    removed = 0
    for path in folder.paths():
        if (hash_ := _hash_of(path)) is not None and hash_ not in wanted:
            folder.delete(path)
            removed += 1
    return removed


def _table(samples: SampleStream) -> Iterator[str]:
    there = {"variant": samples.has_variants, "frame": samples.has_frames}
    there |= {"split": samples.has_split, "extra": samples.has_extra}
    names = {**_COLUMNS, **{name: name for name, has in there.items() if has}}
    yield csv_line(["file_name", *names])
    for batch in samples.batches(False):
        columns: list[Iterable[Any]] = [batch.rows[column].to_pylist() for column in names.values()]
        for row in zip(_paths(batch.rows), *columns, strict=True):
            yield csv_line(row)


def _paths(rows: pa.Table) -> list[str]:
    formats = zip(rows["output_sha256"].to_pylist(), rows["format"].to_pylist(), strict=True)
    return [f"{sha256[:2]}/{sha256}.{FILE_ENDINGS[name]}" for sha256, name in formats]


def _hashes_of(paths: Iterable[str]) -> Iterator[str]:
    return (hash_ for path in paths if (hash_ := _hash_of(path)) is not None)


def _hash_of(path: str) -> str | None:
    """Return the hash in the path of an image, None for any other file."""
    found = _IMAGE.fullmatch(path)
    return found[2] if found else None


class _HashSet:
    """Hashes, 16 bytes each, sorted; the newest wait in a set of bounded size."""

    def __init__(self, hashes: Iterable[str]) -> None:
        self._sorted: NDArray[np.bytes_] = np.empty(0, f"S{_HASH_BYTES}")
        self._waiting: set[str] = set()
        for text in hashes:
            self.add([text])

    def add(self, hashes: Iterable[str]) -> None:
        self._waiting.update(text[: 2 * _HASH_BYTES] for text in hashes)
        if len(self._waiting) >= _WAITING:
            self._sort_in()

    def __contains__(self, text: str) -> bool:
        short = text[: 2 * _HASH_BYTES]
        if short in self._waiting or not len(self._sorted):
            return short in self._waiting
        packed = _packed([short])
        place = int(np.searchsorted(self._sorted, packed)[0])
        return place < len(self._sorted) and bool(self._sorted[place] == packed[0])

    def __len__(self) -> int:
        self._sort_in()
        return len(self._sorted)

    def _sort_in(self) -> None:
        self._sorted = np.union1d(self._sorted, _packed(self._waiting))
        self._waiting.clear()


def _packed(hashes: Iterable[str]) -> NDArray[np.bytes_]:
    return np.frombuffer(bytes.fromhex("".join(hashes)), f"S{_HASH_BYTES}")
