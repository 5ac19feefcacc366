"""A file of a tree as Arrow wants files: with a position."""

import io

from image_assets.sources.trees import TreeReader


class TreeFileObject:
    """What ``pyarrow.PythonFile`` reads from; the reader stays its owner's to close."""

    closed = False

    def __init__(self, reader: TreeReader) -> None:
        self._reader = reader
        self._position = 0

    def read(self, length: int = -1) -> bytes:
        """Return the next bytes, all that are left without a length.

        Raises:
            SourceFileError: they cannot be read (reason unreadable).
            VanishedError: the file is gone, or was replaced.
        """
        left = self._reader.size_bytes - self._position
        data = self._reader.read_at(self._position, left if length < 0 else min(length, left)) if left > 0 else b""
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to another position and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._reader.size_bytes}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it has positions."""
        return True

    def writable(self) -> bool:
        """Return that it cannot be written."""
        return False

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
