"""The few EXIF fields the platform keeps, read straight from the TIFF structure that EXIF is."""

import re
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# Why not Pillow's Exif: it reads every field, and costs ten times as much for each image.

_MAKE, _MODEL, _ORIENTATION, _DATE_TIME = 0x010F, 0x0110, 0x0112, 0x0132
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_DATE_ORIGINAL, _DATE_DIGITIZED = 0x9003, 0x9004
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 1, 2, 3, 4

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _IFD, _UTF8 = 1, 2, 3, 4, 5, 13, 129
_SIZE_BYTES = {_BYTE: 1, _ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _UTF8: 1}

# Real folders hold some dozens of fields; more is an attack on the time limit.
_MAX_FIELDS = 1024
_MAX_TEXT_CHARS = 64
_DATE = re.compile(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d):(\d\d):(\d\d)")

# Of one field: type, count, and where its four value bytes stand.
_Field = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Exif:
    """The fields as Facts hold them."""

    orientation: int = 1
    taken_at: str | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    has_gps: bool = False
    gps_latitude: float | None = None
    gps_longitude: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}


NO_EXIF = Exif()


def parse_exif(tiff: bytes | None, *, keep_gps: bool) -> Exif:
    """Return what the EXIF data say; what is missing or broken is as if absent, never an error.

    Args:
        tiff: the data from the TIFF header (``II*`` or ``MM*``) on, so a whole TIFF file will do.
        keep_gps: whether to read the coordinates, beside whether there are any.
    """
    if tiff is None or tiff[:4] not in (b"II*\0", b"MM\0*") or len(tiff) < 8:
        return NO_EXIF
    reader = _Reader(tiff, "<" if tiff[:1] == b"I" else ">")
    main = reader.fields(reader.long_at(4))
    exif = reader.fields(reader.integer(main.get(_EXIF_IFD)))
    gps = reader.fields(reader.integer(main.get(_GPS_IFD)))
    orientation = reader.integer(main.get(_ORIENTATION))
    dates = (exif.get(_DATE_ORIGINAL), exif.get(_DATE_DIGITIZED), main.get(_DATE_TIME))
    return Exif(
        orientation=orientation if 1 <= orientation <= 8 else 1,
        taken_at=next((date for field in dates if (date := _date(reader.text(field)))), None),
        camera_make=reader.text(main.get(_MAKE)),
        camera_model=reader.text(main.get(_MODEL)),
        has_gps=_LATITUDE in gps and _LONGITUDE in gps,
        gps_latitude=_degrees(reader, gps, _LATITUDE_REF, {"N": 90, "S": -90}) if keep_gps else None,
        gps_longitude=_degrees(reader, gps, _LONGITUDE_REF, {"E": 180, "W": -180}) if keep_gps else None,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Bounds-checked reading of a TIFF structure; what lies outside of it reads as nothing."""

    tiff: bytes
    order: str

    def fields(self, offset: int) -> dict[int, _Field]:
        if not 8 <= offset <= len(self.tiff) - 2:
            return {}
        (count,) = struct.unpack_from(self.order + "H", self.tiff, offset)
        start = offset + 2
        count = min(count, _MAX_FIELDS, (len(self.tiff) - start) // 12)
        rows = struct.iter_unpack(self.order + "HHIxxxx", self.tiff[start : start + 12 * count])
        return {tag: (kind, number, start + 12 * row + 8) for row, (tag, kind, number) in enumerate(rows)}

    def long_at(self, offset: int) -> int:
        return int.from_bytes(self.tiff[offset : offset + 4], "little" if self.order == "<" else "big")

    def integer(self, field: _Field | None) -> int:
        """Return the field's one unsigned integer; 0 when it has none."""
        if field is None or field[1] != 1:
            return 0
        if field[0] in (_LONG, _IFD):
            return self.long_at(field[2])
        return int(struct.unpack_from(self.order + "H", self.tiff, field[2])[0]) if field[0] == _SHORT else 0

    def text(self, field: _Field | None) -> str | None:
        """Return the field's text without padding and control characters; None when nothing is left."""
        if field is None or field[0] not in (_ASCII, _UTF8, _BYTE):
            return None
        data = self._value(field).split(b"\0", 1)[0]
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        return "".join(char for char in text if char.isprintable()).strip()[:_MAX_TEXT_CHARS].strip() or None

    def rationals(self, field: _Field | None) -> list[float]:
        """Return the field's fractions; none when one of them has no value."""
        data = self._value(field) if field is not None and field[0] == _RATIONAL else b""
        pairs = list(struct.iter_unpack(self.order + "II", data[: len(data) // 8 * 8]))
        return [over / under for over, under in pairs] if all(under for _, under in pairs) else []

    def _value(self, field: _Field) -> bytes:
        kind, number, position = field
        # Nothing that is read here is longer than a line of text.
        size_bytes = min(_SIZE_BYTES[kind] * number, 1024)
        start = position if _SIZE_BYTES[kind] * number <= 4 else self.long_at(position)
        return self.tiff[start : start + size_bytes]


def _date(text: str | None) -> str | None:
    match = _DATE.fullmatch(text) if text else None
    if match is None:
        return None
    try:
        return datetime(*(int(part) for part in match.groups())).isoformat()  # type: ignore[arg-type]
    except ValueError:
        return None


def _degrees(reader: _Reader, gps: dict[int, _Field], ref_tag: int, limits: dict[str, int]) -> float | None:
    """Return signed degrees; ``limits`` maps the letters of the reference to the farthest value."""
    limit = limits.get(reader.text(gps.get(ref_tag)) or "")
    parts = reader.rationals(gps.get(ref_tag + 1))
    if limit is None or len(parts) != 3:
        return None
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    return (degrees if limit > 0 else -degrees) if degrees <= abs(limit) else None
