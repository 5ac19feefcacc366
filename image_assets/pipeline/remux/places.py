"""Where the tables of a dataset lie, as files that are read from any position."""

import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import IO

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.sources.parquet_pages import ReadFrom
from image_assets.sources.trees import Tree, TreeReader

# Read at once: a local file is at hand, each read of an object is a request.
_LOCAL_BYTES, _REMOTE_BYTES = 2**18, 4 * 2**20


class Place:
    """A folder, a prefix of a bucket, or a repository on the hub; ``root`` is the folder, None if it is not local."""

    def __init__(self, tree: Tree, root: Path | None) -> None:
        self.root = root
        self._tree = tree

    @cached_property
    def names(self) -> Mapping[str, bytes | None]:
        """Every file's POSIX path, with what the tree needs to find it."""
        return {file.path: file.locator for file in sorted(self._tree.files(), key=lambda file: file.path)}

    def open(self, name: str) -> "PlacedFile":
        """Open a file.

        Raises:
            SourceError: it is not there, or cannot be read.
        """
        # A single table needs no list of what lies beside it.
        locator = self.__dict__["names"].get(name) if "names" in self.__dict__ else None
        try:
            reader = self._tree.open(name, locator)
        except (SourceFileError, VanishedError) as error:
            raise SourceError(f"{name} of the dataset cannot be read: {error}") from error
        return PlacedFile(reader, name, _REMOTE_BYTES if self.root is None else _LOCAL_BYTES)

    def read(self, name: str) -> bytes:
        """Return the bytes of a small file.

        Raises:
            SourceError: it is not there, or cannot be read.
        """
        with self.open(name).file as file:
            return file.read()


class PlacedFile:
    """One open file and its version, which another content changes; closing ``file`` closes all of it.

    ``read_from`` is the same file for what reads it in its own way.
    """

    def __init__(self, reader: TreeReader, name: str, buffer_bytes: int) -> None:
        self.read_from = ReadFrom(reader, buffer_bytes)
        self.version = reader.version
        self.file: IO[bytes] = io.BufferedReader(_TreeIO(reader, name), buffer_bytes)


class _TreeIO(io.RawIOBase):
    """A file of a tree as Python's own kind of file."""

    def __init__(self, reader: TreeReader, name: str) -> None:
        super().__init__()
        self._reader = reader
        self._name = name
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to another position and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._reader.size_bytes}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Read into a buffer and return how many bytes came.

        Raises:
            SourceError: the file cannot be read, or is not what it was when it was opened.
        """
        length = min(len(buffer), max(self._reader.size_bytes - self._position, 0))
        try:
            data = self._reader.read_at(self._position, length) if length else b""
        except (SourceFileError, VanishedError) as error:
            raise SourceError(f"{self._name} of the dataset cannot be read: {error}") from error
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._reader.close()
        super().close()
