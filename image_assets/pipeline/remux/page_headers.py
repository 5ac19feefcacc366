"""Headers of Parquet pages, which are written in Thrift's compact protocol."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3
# A header holds a few numbers, and sometimes the least and greatest value of its page.
_MOST_BYTES = 16 * 2**20
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _STRUCT = 0, 1, 2, 3, 7, 8, 12
_INTEGERS = (4, 5, 6)


class DamagedPageError(ValueError):
    """The bytes are no Parquet pages."""


@dataclass(frozen=True, slots=True)
class PageHeader:
    """What a page says of itself. ``level_bytes`` are those before the values of a page of version 2."""

    kind: int
    size_bytes: int
    stored_bytes: int
    values: int
    encoding: int
    level_bytes: int
    compressed: bool


def read_page_header(file: IO[bytes]) -> PageHeader:
    """Return the header that begins here; the file stands behind it.

    Raises:
        DamagedPageError: there is none.
    """
    fields = _Reader(file).struct()
    try:
        kind, size_bytes, stored_bytes = fields[1], fields[2], fields[3]
        if kind == DATA_PAGE:
            own = fields[5]
            return PageHeader(kind, size_bytes, stored_bytes, own[1], own[2], 0, compressed=True)
        if kind == DICTIONARY_PAGE:
            own = fields[7]
            return PageHeader(kind, size_bytes, stored_bytes, own[1], own[2], 0, compressed=True)
        if kind == DATA_PAGE_V2:
            own = fields[8]
            levels = own[5] + own[6]
            return PageHeader(kind, size_bytes, stored_bytes, own[1], own[4], levels, compressed=own.get(7, True))
        return PageHeader(kind, size_bytes, stored_bytes, 0, 0, 0, compressed=True)
    except (KeyError, TypeError) as error:
        raise DamagedPageError(f"a page header lacks field {error}") from error


class _Reader:
    """Reads one structure from a file, with a limit on its bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _MOST_BYTES

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while (first := self._byte()) != _STOP:
            number = number + (first >> 4) if first >> 4 else self._zigzag()
            fields[number] = self._value(first & 15)
        return fields

    def _value(self, kind: int) -> Any:
        readers: dict[int, Callable[[], Any]] = {
            _TRUE: lambda: True,
            _FALSE: lambda: False,
            _BYTE: self._byte,
            **dict.fromkeys(_INTEGERS, self._zigzag),
            _DOUBLE: lambda: self._take(8),
            _BINARY: lambda: self._take(self._varint()),
            _STRUCT: self.struct,
        }
        if kind not in readers:
            # No header of a page holds a list or a map.
            raise DamagedPageError(f"a page header holds a value of type {kind}")
        return readers[kind]()

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        self._left -= size
        data = self._file.read(size) if self._left >= 0 else b""
        if len(data) != size:
            raise DamagedPageError("a page header is longer than it can be, or its file ends in it")
        return data
