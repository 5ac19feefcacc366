"""A JPEG's header in one pass over its markers: size, EXIF and colour profile, without decoding."""

from dataclasses import dataclass

JPEG_MAGIC = b"\xff\xd8\xff"

_SOS = 0xDA
_EOI = 0xD9
_APP1 = 0xE1
_APP2 = 0xE2
_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"
# Start-of-frame markers; C4, C8 and CC lie among them and are something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SCAN, _END = bytes([0xFF, _SOS]), bytes([0xFF, _EOI])
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What stands before the first scan. A header that breaks off leaves the rest as it is here."""

    frame: int = 0  # the start-of-frame marker: 0xC0 baseline, 0xC2 progressive, 0 none was found
    precision_bits: int = 0
    width_px: int = 0
    height_px: int = 0
    components: int = 0
    exif: bytes | None = None  # from the TIFF header on
    profile: bytes | None = None
    complete: bool = False  # whether a scan follows


def read_jpeg_header(raw: bytes) -> JpegHeader:
    """Return the header of bytes that begin with JPEG_MAGIC; it never fails."""
    exif: bytes | None = None
    frame = (0, 0, 0, 0, 0)
    chunks: list[tuple[int, bytes]] = []
    complete = False
    position = 2
    while True:
        # Bytes between segments are noise; a run of FF is padding.
        position = raw.find(b"\xff", position)
        if position < 0 or position + 4 > len(raw):
            break
        marker = raw[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0 or marker in _STANDALONE:
            position += 2
            continue
        if marker in (_SOS, _EOI):
            complete = marker == _SOS
            break
        start, end = position + 4, position + 2 + int.from_bytes(raw[position + 2 : position + 4], "big")
        if marker == _APP1 and exif is None and raw.startswith(_EXIF, start):
            exif = raw[start + len(_EXIF) : end]
        elif marker == _APP2 and raw.startswith(_ICC, start):
            chunks.append((raw[start + len(_ICC)], raw[start + len(_ICC) + 2 : end]))
        elif marker in _FRAMES and end - start >= 6 and end <= len(raw) and not frame[0]:
            frame = (marker, raw[start], *_size(raw, start + 1), raw[start + 5])
        position = max(end, position + 2)
    marker, precision_bits, height_px, width_px, components = frame
    profile = b"".join(chunk for _, chunk in sorted(chunks)) if chunks else None
    return JpegHeader(marker, precision_bits, width_px, height_px, components, exif, profile, complete)


def count_scans(raw: bytes, header: JpegHeader) -> int:
    """Return how many scans stand before the first end of an image.

    In the data of a scan no marker can occur; in a segment it can, so a few too many or too few may be counted.
    """
    first = raw.find(_SCAN)
    if header.frame not in _PROGRESSIVE and raw[first + 4 : first + 5] >= bytes([header.components]):
        # All colours in one scan: nothing is left for another.
        return 1
    return raw.count(_SCAN, first, max(raw.find(_END, first), 0) or len(raw))


def _size(raw: bytes, start: int) -> tuple[int, int]:
    return int.from_bytes(raw[start : start + 2], "big"), int.from_bytes(raw[start + 2 : start + 4], "big")
