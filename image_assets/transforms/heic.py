"""HEIC and HEIF: told from their boxes, and opened by pi-heif when the extra ``heic`` is installed."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from image_assets.core.errors import DecodeError

if TYPE_CHECKING:
    from PIL import Image

_STILLS = frozenset({b"heic", b"heix", b"heim", b"heis"})
_SEQUENCES = frozenset({b"hevc", b"hevx", b"hevm", b"hevs"})
# Of these any codec may follow; those with AV1 are AVIF.
_ANY_CODEC = frozenset({b"mif1", b"msf1"})
_AV1 = frozenset({b"avif", b"avis"})
_MAX_BRANDS_BYTES = 256
# What may stand in a file one after the other; other bytes behind these are nobody's picture.
_BOXES = frozenset({b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"wide", b"uuid", b"mpvd", b"idat"})


def is_heic(raw: bytes) -> bool:
    """Return whether the first bytes are those of an ISO media file whose pictures are not AV1."""
    if raw[4:8] != b"ftyp":
        return False
    brands = _brands(raw)
    return not _AV1.intersection(brands) and (brands[0] in _ANY_CODEC or not (_STILLS | _SEQUENCES).isdisjoint(brands))


def is_heic_sequence(raw: bytes) -> bool:
    """Return whether a HEIC holds a film beside its picture."""
    brand = _brands(raw)[0]
    return brand in _SEQUENCES or brand == b"msf1" or any(kind == b"moov" for kind, _, _ in _boxes(raw))


def open_heic(raw: bytes) -> "Image.Image":
    """Return a HEIC as pi-heif opens it, standing at its primary picture: a header that was read, nothing decoded.

    It turns and mirrors the picture itself, by the boxes ``irot`` and ``imir``, and leaves no orientation in the EXIF.

    Raises:
        DecodeError: pi-heif is not installed, or the file is cut off or damaged.
        Exception: whatever pi-heif raises for broken bytes.
    """
    try:
        # The plug-in's class itself: registered with Pillow, it would open such files for everybody in the process.
        from pi_heif import options
        from pi_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise DecodeError(
            "unsupported_format", "HEIC needs the decoder pi-heif: pip install 'image_assets[heic]'"
        ) from error
    for kind, start, end in _boxes(raw):
        if end > len(raw):
            raise DecodeError("truncated", f"a HEIC of {len(raw)} bytes whose box {kind.decode()} ends at {end}")
        if kind == b"meta":
            _check_item_names(raw[start:end])
    # The workers are as many as the processors already.
    options.DECODE_THREADS = 1
    image: Image.Image = HeifImageFile(io.BytesIO(raw))
    return image


def _check_item_names(meta: bytes) -> None:
    """Refuse a HEIC in which the kind or name of an item is no text: pi-heif 1.4 ends the process over it.

    Raises:
        DecodeError: it is corrupt.
    """
    position = meta.find(b"infe")
    while position >= 0:
        end = position - 4 + int.from_bytes(meta[position - 4 : position])
        # After version, flags, number and protection, each of two bytes or, from version 3 on, the number of four.
        kind = position + (14 if meta[position + 4 : position + 5] >= b"\3" else 12)
        try:
            meta[kind:end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError("corrupt", f"a HEIC with an item of kind {meta[kind : kind + 4]!r}") from error
        position = meta.find(b"infe", position + 4)


def _brands(raw: bytes) -> list[bytes]:
    """Return the major brand and the compatible ones."""
    end = min(int.from_bytes(raw[:4]), _MAX_BRANDS_BYTES)
    return [raw[8:12], *(raw[at : at + 4] for at in range(16, end, 4))]


def _boxes(raw: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each box that the file consists of; an end beyond the file: it is cut off."""
    position = 0
    while (kind := raw[position + 4 : position + 8]) in _BOXES:
        size_bytes = int.from_bytes(raw[position : position + 4])
        if size_bytes == 1:
            size_bytes = int.from_bytes(raw[position + 8 : position + 16])
        # 0: up to the end of the file.
        end = position + max(size_bytes, 8) if size_bytes else len(raw)
        yield kind, position, end
        position = end
