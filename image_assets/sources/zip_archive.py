"""Zip archives by their central directory; a member is never expanded beyond what it declares and what is allowed."""

import stat
import struct
import zlib
from collections.abc import Iterator

from image_assets.core.errors import ContainerError, SourceFileError
from image_assets.sources.members import ENCRYPTED, FINE, LINK, METHOD, PROBLEMS, Member
from image_assets.sources.trees import TreeReader

_STORED, _DEFLATED = 0, 8
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
# Header offset, bytes stored, bytes expanded, CRC-32, length of the name, method, problem.
_PLACE = struct.Struct(">QQQLHBB")
_MOST_COMMENT_BYTES = 65_535
_MOST_DIRECTORY_BYTES = 512 * 2**20
# What a local header may have beyond what the central directory says (times, owners, alignment).
_SLACK_BYTES = 64


class ZipArchive:
    """One zip; ``listing`` and ``reading`` are the same bytes, read in the ways that suit these."""

    def __init__(self, listing: TreeReader, reading: TreeReader) -> None:
        self._listing = listing
        self._reading = reading

    def members(self) -> Iterator[Member]:
        """Yield every member that is no folder, in the order of the central directory.

        Raises:
            ContainerError: it is damaged, truncated or no archive.
            SourceFileError: it cannot be read (reason unreadable).
            VanishedError: it is gone, or was replaced.
        """
        directory, count, shift = self._directory()
        position = 0
        for _ in range(count):
            if directory[position : position + 4] != b"PK\1\2" or position + _ENTRY.size > len(directory):
                raise ContainerError("damaged: its central directory is shorter than it says")
            fields = _ENTRY.unpack_from(directory, position)
            first = position + _ENTRY.size
            name = directory[first : first + fields[10]]
            extra = directory[first + fields[10] : first + fields[10] + fields[11]]
            position = first + sum(fields[10:13])
            if not name.endswith(b"/"):
                yield _member(name, extra, fields, shift)

    def data(self, place: bytes, max_bytes: int) -> bytes:
        """Return one member's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable or too_large).
            VanishedError: the archive is gone, or was replaced.
        """
        offset, stored, size, crc, name_bytes, method, problem = _PLACE.unpack(place)
        if problem != FINE:
            raise SourceFileError("unreadable", PROBLEMS[problem])
        if size > max_bytes:
            raise SourceFileError("too_large", f"{size} bytes, the limit is {max_bytes}")
        # Deflate adds five bytes to every 16 kB that it cannot shrink.
        if stored > size + size // 100 + 1024:
            raise SourceFileError("unreadable", f"{stored} bytes are stored for {size}")
        data = self._stored(offset, stored, name_bytes)
        if method == _DEFLATED:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
            except zlib.error as error:
                raise SourceFileError("unreadable", f"its compressed data are damaged: {error}") from error
        if len(data) != size:
            raise SourceFileError("unreadable", f"it does not hold the {size} bytes that it declares")
        if zlib.crc32(data) != crc:
            raise SourceFileError("unreadable", "its checksum is wrong: the archive is damaged")
        return data

    def _stored(self, offset: int, stored: int, name_bytes: int) -> bytes:
        data = self._reading.read_at(offset, _LOCAL.size + name_bytes + _SLACK_BYTES + stored)
        if len(data) < _LOCAL.size or not data.startswith(b"PK\3\4"):
            raise SourceFileError("unreadable", "it does not begin where the central directory says")
        fields = _LOCAL.unpack_from(data)
        first = _LOCAL.size + fields[9] + fields[10]
        if len(data) < first + stored:
            data += self._reading.read_at(offset + len(data), first + stored - len(data))
        if len(data) < first + stored:
            raise SourceFileError("unreadable", "the archive ends inside it")
        return data[first : first + stored]

    def _directory(self) -> tuple[bytes, int, int]:
        """Return the central directory, the number of its entries, and by how much all offsets are wrong."""
        size_bytes = self._listing.size_bytes
        start = max(0, size_bytes - _END.size - _MOST_COMMENT_BYTES)
        tail = self._listing.read_at(start, size_bytes - start)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise ContainerError("no zip archive, or a truncated one: it has no central directory")
        _, disk, _, here, count, length, offset, _ = _END.unpack_from(tail, at)
        end = start + at
        if 0xFFFF in (here, count) or 0xFFFFFFFF in (length, offset):
            end, count, length, offset = self._zip64(end) or (end, count, length, offset)
        shift = end - length - offset
        if disk not in (0, 0xFFFF) or shift < 0 or length > _MOST_DIRECTORY_BYTES or count > length // _ENTRY.size:
            raise ContainerError("damaged: its central directory cannot be where it says, or is one of several disks")
        directory = self._listing.read_at(offset + shift, length)
        if len(directory) < length:
            raise ContainerError("damaged: its central directory is shorter than it says")
        return directory, count, shift

    def _zip64(self, end: int) -> tuple[int, int, int, int] | None:
        """Return what the larger form of the end says: its place, the entries, the directory's length and offset."""
        locator = self._listing.read_at(max(0, end - _LOCATOR_64.size), _LOCATOR_64.size)
        if not locator.startswith(b"PK\6\7") or len(locator) < _LOCATOR_64.size:
            return None
        place = end - _LOCATOR_64.size - _END_64.size
        record = self._listing.read_at(max(0, place), _END_64.size)
        if not record.startswith(b"PK\6\6") or len(record) < _END_64.size:
            raise ContainerError("damaged: the end of its central directory is not where it says")
        fields = _END_64.unpack(record)
        return place, fields[7], fields[8], fields[9]


def _member(name: bytes, extra: bytes, fields: tuple[int, ...], shift: int) -> Member:
    flags, method, crc, stored, size, made_by = fields[3], fields[4], fields[7], fields[8], fields[9], fields[1]
    size, stored, offset = _large(extra, size, stored, fields[16])
    problem = FINE
    if made_by >> 8 == 3 and stat.S_ISLNK(fields[15] >> 16):
        problem = LINK
    elif flags & 1:
        problem = ENCRYPTED
    elif method not in (_STORED, _DEFLATED):
        problem = METHOD
    if not flags & 0x800 and not _is_utf8(name):
        # Before there was a flag for UTF-8, names were in the code page of DOS.
        name = name.decode("cp437").encode()
    offset += shift
    place = _PLACE.pack(offset, stored, size, crc, fields[10], min(method, 255), problem)
    return Member(name, offset, size, place, problem)


def _large(extra: bytes, size: int, stored: int, offset: int) -> tuple[int, int, int]:
    """Return sizes and offset with those that need 64 bits taken from the extra field."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            values = [value for (value,) in struct.iter_unpack("<Q", extra[4 : 4 + length // 8 * 8])]
            found = [values.pop(0) if old == 0xFFFFFFFF and values else old for old in (size, stored, offset)]
            size, stored, offset = found
            break
        extra = extra[4 + length :]
    if max(size, stored, offset) >= 2**53:
        raise ContainerError("damaged: a size or an offset that no file has")
    return size, stored, offset


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
