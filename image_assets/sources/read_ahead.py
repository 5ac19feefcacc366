"""Fewer requests for ranges that follow each other: what lies between is read along when that is cheaper."""

from image_assets.sources.trees import TreeReader

# A request to a bucket takes as long as the transfer of about a megabyte (10-30 ms at 50-100 MB/s).
_NEAR_BYTES = 2**20
_FIRST_BYTES = 64 * 2**10
_MOST_BYTES = 8 * 2**20


class ReadAhead:
    """A reader that fetches ahead, the further the longer its reads follow each other.

    It never fetches beyond a multiple of ``boundary`` what was not asked for: what lies there is another's to read.
    """

    def __init__(self, reader: TreeReader, boundary: int | None = None) -> None:
        self.size_bytes = reader.size_bytes
        self.version = reader.version
        self._reader = reader
        self._boundary = boundary
        self._window = _FIRST_BYTES
        self._start = 0
        self._data = b""

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes of a range; fewer at the end of the file.

        Raises:
            SourceFileError: it cannot be read (reason unreadable).
            VanishedError: it is gone, or other bytes have come in its place.
        """
        end = self._start + len(self._data)
        if self._start <= offset and offset + length <= end:
            return self._data[offset - self._start : offset - self._start + length]
        follows = self._start <= offset <= end + _NEAR_BYTES
        self._window = min(2 * self._window, _MOST_BYTES) if follows else _FIRST_BYTES
        # What is there of the range already is kept.
        head = self._data[offset - self._start :] if self._start <= offset < end else b""
        first = offset + len(head)
        until = offset + max(length, self._window)
        if self._boundary is not None:
            until = max(offset + length, min(until, (offset // self._boundary + 1) * self._boundary))
        self._data = head + self._reader.read_at(first, until - first)
        self._start = offset
        return self._data[:length]

    def close(self) -> None:
        """Close what is read from."""
        self._reader.close()
