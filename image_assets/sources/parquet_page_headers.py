"""Headers of Parquet pages, which are written in Thrift's compact protocol."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from image_assets.sources.stretch import Stretch

DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3
# Where a kind of page says more of itself.
_OWN_FIELDS = {DATA_PAGE: 5, DICTIONARY_PAGE: 7, DATA_PAGE_V2: 8}
# A header holds a few numbers, and sometimes the least and greatest value of its page.
_MOST_BYTES = 16 * 2**20
_MOST_NUMBER = 2**31 - 1
# A header holds structures, and one of them the page's statistics.
_MOST_DEPTH = 4
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _STRUCT = 0, 1, 2, 3, 7, 8, 12
_INTEGERS = (4, 5, 6)


class DamagedPageError(OSError):
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


def read_page_header(stretch: Stretch) -> PageHeader:
    """Return the header that begins here; what follows it is read next.

    Raises:
        DamagedPageError: there is none, or it says what cannot be.
        SourceFileError, VanishedError: the file cannot be read, or is gone.
    """
    header = _header_of(_Reader(stretch).struct(1))
    numbers = header.size_bytes, header.stored_bytes, header.values, header.level_bytes
    if min(numbers) < 0 or max(numbers) > _MOST_NUMBER:
        raise DamagedPageError(f"a page header says {min(numbers)} or {max(numbers)} of something")
    if header.level_bytes > min(header.size_bytes, header.stored_bytes):
        raise DamagedPageError(f"a page of {header.stored_bytes} bytes says that {header.level_bytes} are its levels")
    return header


def _header_of(fields: Mapping[int, Any]) -> PageHeader:
    kind, size_bytes, stored_bytes = (_integer(fields, number) for number in (1, 2, 3))
    if kind not in _OWN_FIELDS:
        return PageHeader(kind, size_bytes, stored_bytes, 0, 0, 0, compressed=True)
    own = fields.get(_OWN_FIELDS[kind])
    if not isinstance(own, dict):
        raise DamagedPageError(f"a page header of kind {kind} lacks what belongs to it")
    values = _integer(own, 1)
    if kind != DATA_PAGE_V2:
        return PageHeader(kind, size_bytes, stored_bytes, values, _integer(own, 2), 0, compressed=True)
    levels = _integer(own, 5) + _integer(own, 6)
    return PageHeader(kind, size_bytes, stored_bytes, values, _integer(own, 4), levels, bool(own.get(7, True)))


def _integer(fields: Mapping[int, Any], number: int) -> int:
    value = fields.get(number)
    if not isinstance(value, int):
        raise DamagedPageError(f"a page header has no number in field {number}")
    return value


class _Reader:
    """Reads one structure, with a limit on its bytes."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self._left = _MOST_BYTES

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > _MOST_DEPTH:
            raise DamagedPageError(f"a page header holds structures in structures, more than {_MOST_DEPTH} deep")
        fields: dict[int, Any] = {}
        number = 0
        while (first := self._byte()) != _STOP:
            number = number + (first >> 4) if first >> 4 else self._zigzag()
            fields[number] = self._value(first & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        readers: dict[int, Callable[[], Any]] = {
            _TRUE: lambda: True,
            _FALSE: lambda: False,
            _BYTE: self._byte,
            **dict.fromkeys(_INTEGERS, self._zigzag),
            _DOUBLE: lambda: self._take(8),
            _BINARY: lambda: self._take(self._varint()),
            _STRUCT: lambda: self.struct(depth + 1),
        }
        if kind not in readers:
            # No header of a page holds a list or a map.
            raise DamagedPageError(f"a page header holds a value of type {kind}")
        return readers[kind]()

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise DamagedPageError("a page header holds a number without an end")

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        self._left -= size
        data = self._stretch.read(size) if self._left >= 0 else b""
        if len(data) != size:
            raise DamagedPageError("a page header is longer than it can be, or its file ends in it")
        return data
