"""Tar archives by their headers alone: ustar, GNU and PAX, whatever else stands in them refused or passed over."""

import struct
from collections.abc import Iterator

from image_assets.core.errors import ContainerError, SourceFileError
from image_assets.sources.members import FINE, LINK, PROBLEMS, SPARSE, Member
from image_assets.sources.trees import TreeReader

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_PLACE = struct.Struct(">QQB")
# A name is a few hundred bytes; a header that says it has more than this is meant to fill the memory.
_MOST_EXTENDED_BYTES = 2**20
_MOST_BYTES = 2**53
_REGULAR, _LINKS, _NO_DATA = b"\x0007", b"12", b"123456"


class TarArchive:
    """One tar; ``listing`` and ``reading`` are the same bytes, read in the ways that suit these."""

    def __init__(self, listing: TreeReader, reading: TreeReader) -> None:
        self._listing = listing
        self._reading = reading

    def members(self) -> Iterator[Member]:
        """Yield every member that is no folder or device, in the order of the archive.

        Raises:
            ContainerError: it is damaged, truncated or no archive.
            SourceFileError: it cannot be read (reason unreadable).
            VanishedError: it is gone, or was replaced.
        """
        offset = 0
        extended: dict[bytes, bytes] = {}
        while (head := self._header(offset)) != _ZEROS:
            kind, size = head[156:157], _number(head[124:136], offset)
            first = offset + _BLOCK
            if kind in (b"x", b"L"):
                data = self._extended(first, size)
                extended |= {b"path": data.split(b"\0")[0]} if kind == b"L" else dict(_pax_records(data, offset))
                offset = first + _padded(size)
                continue
            if kind in (b"g", b"K"):
                offset = first + _padded(size)
                continue
            size = _decimal(extended[b"size"], offset) if b"size" in extended else size
            if kind == b"S":
                first = self._after_sparse_map(head, first)
            if (problem := _problem(kind, extended)) is not None:
                name = extended.get(b"GNU.sparse.name") or extended.get(b"path") or _name(head)
                if not name.endswith(b"/"):
                    yield Member(name, offset, size, _PLACE.pack(first, size, problem), problem)
            offset = first + (0 if kind in _NO_DATA else _padded(size))
            extended = {}

    def data(self, place: bytes, max_bytes: int) -> bytes:
        """Return one member's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable or too_large).
            VanishedError: the archive is gone, or was replaced.
        """
        offset, size, problem = _PLACE.unpack(place)
        if problem != FINE:
            raise SourceFileError("unreadable", PROBLEMS[problem])
        if size > max_bytes:
            raise SourceFileError("too_large", f"{size} bytes, the limit is {max_bytes}")
        data = self._reading.read_at(offset, size)
        if len(data) < size:
            raise SourceFileError("unreadable", "the archive ends inside it")
        return data

    def _header(self, offset: int) -> bytes:
        head = self._listing.read_at(offset, _BLOCK)
        if len(head) < _BLOCK:
            what = "no tar archive" if offset == 0 else "truncated: it ends without an end-of-archive mark"
            raise ContainerError(f"{what} ({offset + len(head)} bytes)")
        if head != _ZEROS and not _sum_fits(head):
            what = "no tar archive" if offset == 0 else "damaged: no member begins where one should"
            raise ContainerError(f"{what} (byte {offset})")
        return head

    def _extended(self, offset: int, size: int) -> bytes:
        if size > _MOST_EXTENDED_BYTES:
            raise ContainerError(f"damaged: an extended header of {size} bytes (byte {offset})")
        data = self._listing.read_at(offset, size)
        if len(data) < size:
            raise ContainerError("truncated: it ends inside an extended header")
        return data

    def _after_sparse_map(self, head: bytes, first: int) -> int:
        """Return where the data begin after the map of an old GNU sparse file."""
        more = head[482:483]
        while more not in (b"\0", b""):
            more = self._listing.read_at(first, _BLOCK)[504:505]
            first += _BLOCK
        return first


def _problem(kind: bytes, extended: dict[bytes, bytes]) -> int | None:
    """Return what is wrong with a member, None when it is none (a folder, a device)."""
    if kind in _LINKS:
        return LINK
    if kind == b"S" or any(name.startswith(b"GNU.sparse.") for name in extended):
        return SPARSE
    return FINE if kind in _REGULAR else None


def _sum_fits(head: bytes) -> bool:
    stored = head[148:156].strip(b"\0 ")
    if not stored or stored.strip(b"01234567"):
        return False
    rest = head[:148] + b" " * 8 + head[156:]
    # Some old programs summed signed characters.
    return int(stored, 8) == sum(rest) or int(stored, 8) == sum(byte - 256 * (byte > 127) for byte in rest)


def _number(field: bytes, offset: int) -> int:
    text = field.strip(b"\0 ")
    if field[0] == 0x80:
        return _checked(int.from_bytes(field[1:]), offset)
    return _checked(-1 if text.strip(b"01234567") else int(text or b"0", 8), offset)


def _decimal(text: bytes, offset: int) -> int:
    return _checked(int(text) if text.isdigit() and len(text) < 20 else -1, offset)


def _checked(size: int, offset: int) -> int:
    if not 0 <= size <= _MOST_BYTES:
        raise ContainerError(f"damaged: a size that no file has (byte {offset})")
    return size


def _name(head: bytes) -> bytes:
    name = head[:100].split(b"\0")[0]
    if head[257:265] == b"ustar\x0000" and (prefix := head[345:500].split(b"\0")[0]):
        return prefix + b"/" + name
    return name


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _pax_records(data: bytes, offset: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records ``LENGTH KEY=VALUE\\n`` of a PAX header."""
    position = 0
    while position < len(data) and data[position : position + 1] != b"\0":
        digits, space, _ = data[position : position + 20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = data[position + len(digits) + 1 : position + length]
        name, equals, value = record.partition(b"=")
        if length <= len(digits) + 1 or not equals or not value.endswith(b"\n"):
            raise ContainerError(f"damaged: a PAX header that cannot be read (byte {offset})")
        yield name, value[:-1]
        position += length
