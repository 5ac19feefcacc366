"""The bytes of a Parquet page, decompressed as they are read: a page may be a hundred megabytes."""

from abc import abstractmethod
from typing import Any

import pyarrow as pa

from image_assets.sources.parquet_page_headers import DamagedPageError
from image_assets.sources.stretch import Stretch

# Read and decompressed at once.
_STEP_BYTES = 2**18
# A page of no more is decompressed as a whole: where images are no JPEGs its elements are small, and many to cut.
_SMALL_BYTES = 2 * 2**20
# Snappy's encoders look for repetitions within blocks of this size of the plain bytes and no farther.
_SNAPPY_REACH = 2**16

STREAMED_CODECS = frozenset({"UNCOMPRESSED", "SNAPPY", "ZSTD", "GZIP", "BROTLI"})


def open_body(stretch: Stretch, stored_bytes: int, size_bytes: int, codec: str) -> "Body":
    """Return what reads a page's bytes from here on.

    Args:
        stored_bytes: as many as there are in the file.
        size_bytes: as many as they become.
        codec: one of :data:`STREAMED_CODECS`.
    """
    section = _Section(stretch, stored_bytes)
    if codec == "UNCOMPRESSED":
        return _PlainBody(section, size_bytes)
    if codec == "SNAPPY":
        return (_SmallSnappyBody if max(stored_bytes, size_bytes) <= _SMALL_BYTES else _SnappyBody)(section, size_bytes)
    return _StreamBody(section, size_bytes, codec.lower())


class Body:
    """A page's bytes, read once from beginning to end; ``left`` are still to be read."""

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes
        self._ready = bytearray()
        self._at = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, exactly so many.

        Raises:
            DamagedPageError: there are not so many left, or they cannot be decompressed.
        """
        if not 0 <= size <= self.left:
            raise DamagedPageError(f"{size} bytes are asked of a page that has {self.left} left")
        while len(self._ready) - self._at < size:
            more = self._more()
            if not more:
                raise DamagedPageError("a page ends early")
            del self._ready[: self._at]
            self._at = 0
            self._ready += more
        data = bytes(memoryview(self._ready)[self._at : self._at + size])
        self._at += size
        self.left -= size
        return data

    @abstractmethod
    def _more(self) -> Any:
        """Return some more bytes, none at the end."""


class _PlainBody(Body):
    def __init__(self, section: "_Section", size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._section = section

    def _more(self) -> Any:
        return self._section.read(_STEP_BYTES)


class _StreamBody(Body):
    def __init__(self, section: "_Section", size_bytes: int, codec: str) -> None:
        super().__init__(size_bytes)
        self._stream = pa.CompressedInputStream(pa.PythonFile(section, mode="r"), codec)

    def _more(self) -> Any:
        try:
            return self._stream.read(_STEP_BYTES)
        except (pa.ArrowException, OSError) as error:
            raise DamagedPageError(str(error)) from error


class _SmallSnappyBody(Body):
    def __init__(self, section: "_Section", size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._section = section

    def _more(self) -> Any:
        stored = self._section.read()
        return _decompressed(pa.Codec("snappy"), stored, self.left) if stored else b""


class _SnappyBody(Body):
    """Snappy's format is not meant to be read in pieces; here it is cut between two of its elements.

    An element is bytes as they are, or a repetition of earlier ones. Those that a piece repeats from before its
    beginning are put in front of it for the time of its decompression.
    """

    def __init__(self, section: "_Section", size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._section = section
        self._codec = pa.Codec("snappy")
        self._rest = size_bytes
        self._stored = bytearray()
        self._before = b""
        self._skip_length()

    def _more(self) -> Any:
        if not self._rest:
            return b""
        end, size, reach = self._next_cut()
        if reach > len(self._before):
            raise DamagedPageError(f"a page repeats what lies {reach} bytes before, of {len(self._before)}")
        before = self._before[len(self._before) - reach :]
        piece = b"".join([_varint(reach + size), _literal(before), memoryview(self._stored)[:end]])
        del self._stored[:end]
        self._rest -= size
        data = _decompressed(self._codec, piece, reach + size)
        self._before = (
            data[-_SNAPPY_REACH:] if len(data) >= _SNAPPY_REACH else (self._before + data[reach:])[-_SNAPPY_REACH:]
        )
        return data[reach:] if reach else data

    def _skip_length(self) -> None:
        self._have(10)
        at = next((at for at, byte in enumerate(self._stored) if byte < 128), len(self._stored))
        del self._stored[: at + 1]

    def _next_cut(self) -> tuple[int, int, int]:
        """Return where the next piece ends in the stored bytes, its plain size, and how far it reaches before it."""
        at = size = reach = 0
        wanted = min(_STEP_BYTES, self._rest)
        stored = self._stored
        while size < wanted:
            if len(stored) < at + 5:
                self._have(at + 5)
                if len(stored) <= at:
                    raise DamagedPageError("a page ends early")
            tag = stored[at]
            kind, upper = tag & 3, tag >> 2
            if kind == 0:
                extra = max(0, upper - 59)
                length = (int.from_bytes(stored[at + 1 : at + 1 + extra], "little") if extra else upper) + 1
                if length > self._rest - size:
                    raise DamagedPageError("a page holds more than it says")
                at += 1 + extra + length
                self._have(at)
            elif kind == 1:
                length = 4 + (upper & 7)
                reach = max(reach, ((tag >> 5) << 8 | stored[at + 1]) - size)
                at += 2
            else:
                length = upper + 1
                reach = max(reach, int.from_bytes(stored[at + 1 : at + 2 * kind - 1], "little") - size)
                at += 2 * kind - 1
            size += length
        return at, size, reach

    def _have(self, size: int) -> None:
        """Have so many stored bytes ready, or all that are left."""
        while len(self._stored) < size:
            data = self._section.read(max(_STEP_BYTES, size - len(self._stored)))
            if not data:
                return
            self._stored += data


class _Section:
    """The next bytes of a stretch, so many, as Arrow wants files."""

    closed = False

    def __init__(self, stretch: Stretch, size_bytes: int) -> None:
        self._stretch = stretch
        self._left = size_bytes

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes, all without a number, none at the end."""
        size = self._left if size < 0 else min(size, self._left)
        data = self._stretch.read(size)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Let go of it."""
        self.closed = True

    def readable(self) -> bool:
        """Return True."""
        return True


def _decompressed(codec: Any, data: bytes, size_bytes: int) -> bytes:
    try:
        plain: bytes = codec.decompress(data, size_bytes, asbytes=True)
    except (pa.ArrowException, OSError) as error:
        raise DamagedPageError(str(error)) from error
    return plain


def _literal(data: bytes) -> bytes:
    """Return the element of Snappy's format that stands for some bytes as they are."""
    return bytes([62 << 2]) + (len(data) - 1).to_bytes(3, "little") + data if data else b""


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)
    return bytes(data)
