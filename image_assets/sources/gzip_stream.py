"""The bytes inside a gzip file, which can be had in their order only."""

import zlib

from image_assets.core.errors import SourceFileError
from image_assets.sources.trees import TreeReader

_CHUNK_BYTES = 2**20
# Images shrink little. What expands more than this is not read to its end: a few megabytes can become gigabytes.
_MOST_EXPANSION = 200
_FREE_BYTES = 64 * 2**20


class GzipStream:
    """A reader of what a gzip file holds. Ranges that ascend cost one pass; one that goes back begins anew."""

    def __init__(self, reader: TreeReader) -> None:
        self.version = reader.version
        # Nobody knows before the end.
        self.size_bytes = -1
        self._reader = reader
        self._begin()

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes of a range; fewer at the end of the data.

        Raises:
            SourceFileError: it is no gzip file, damaged, or expands beyond reason (reason unreadable).
            VanishedError: it is gone, or other bytes have come in its place.
        """
        if offset < self._position:
            self._begin()
        while self._position < offset and (skipped := self._take(min(offset - self._position, _CHUNK_BYTES))):
            self._position += len(skipped)
        parts, done = [], 0
        while done < length and (part := self._take(length - done)):
            parts.append(part)
            done += len(part)
        self._position += done
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _begin(self) -> None:
        self._position = 0
        self._consumed = 0
        self._waiting = b""
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def _take(self, length: int) -> bytes:
        """Return up to ``length`` bytes of what follows, nothing at the end."""
        while True:
            if self._inflate.eof:
                # Several gzip files in a row are one; zeros may follow.
                self._waiting = (self._inflate.unused_data or self._waiting).lstrip(b"\0")
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            if not self._waiting:
                self._waiting = self._reader.read_at(self._consumed, _CHUNK_BYTES)
                self._consumed += len(self._waiting)
                if not self._waiting:
                    return b""
            try:
                data = self._inflate.decompress(self._waiting, length)
            except zlib.error as error:
                raise SourceFileError("unreadable", f"its gzip data are damaged: {error}") from error
            self._waiting = self._inflate.unconsumed_tail
            if self._position + len(data) > _MOST_EXPANSION * self._consumed + _FREE_BYTES:
                raise SourceFileError("unreadable", f"it expands more than {_MOST_EXPANSION} times")
            if data:
                return data
