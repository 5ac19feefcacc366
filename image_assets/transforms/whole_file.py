"""Whether a file that a lenient decoder accepted holds all of its image, and whether anything stands behind it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from image_assets.core.errors import DecodeError
from image_assets.transforms.gif_stream import check_gif
from image_assets.transforms.png_stream import PNG_SIGNATURE, check_png, png_end
from image_assets.transforms.tiff_strips import check_tiff

if TYPE_CHECKING:
    from PIL import Image

_ICO_HEAD_BYTES, _ICO_ENTRY_BYTES = 6, 16
_PCX_HEAD_BYTES, _PCX_PALETTE_BYTES = 128, 769
_PCX_PALETTE_MARK, _PCX_RUN = 12, 0xC0
_CODESTREAM = b"\xff\x4f\xff\x51"
_PCX_OF_256_COLOURS, _PCX_GRAY = (5, 8, 1), 2


def check_whole(image: "Image.Image", raw: bytes) -> None:
    """Refuse an image of which a part is missing; Pillow leaves such a part blank and says nothing.

    Args:
        image: as Pillow loaded it.

    Raises:
        DecodeError: a part of the first frame is missing, or differs from its checksum.
    """
    check = _CHECKS.get(str(image.format))
    if check is not None:
        check(image, raw)


def has_trailing_data(raw: bytes, file_format: str) -> bool:
    """Return whether bytes other than zeros follow the end of the image, as far as its format tells.

    Of JPEG and GIF only the last bytes are looked at: what follows counts unless it is itself such an image, as the
    thumbnail behind the photo of a camera is.
    """
    end = _ENDS.get(file_format)
    return end is not None and end(raw)


def _check_pcx(image: "Image.Image", raw: bytes) -> None:
    """Refuse a PCX without the palette that belongs at its end; Pillow takes its numbers for grays then.

    Raises:
        DecodeError: it is truncated.
    """
    version, bits, planes, kind = raw[1], raw[3], raw[65], raw[68]
    if (version, bits, planes) != _PCX_OF_256_COLOURS or kind == _PCX_GRAY:
        return
    end = len(raw) - _PCX_PALETTE_BYTES
    missing_bytes = int.from_bytes(raw[66:68], "little") * image.height
    position = _PCX_HEAD_BYTES
    while missing_bytes > 0 and position < end:
        # The two highest bits mark the length of a run; its value follows.
        run = raw[position] & 0x3F if raw[position] >= _PCX_RUN else 0
        missing_bytes -= run or (raw[position] < _PCX_RUN)
        position += 2 if raw[position] >= _PCX_RUN else 1
    if missing_bytes > 0 or raw[end] != _PCX_PALETTE_MARK:
        raise DecodeError("truncated", f"a PCX of {len(raw)} bytes without the palette at its end")


def _check_jpeg2000(_image: "Image.Image", raw: bytes) -> None:
    """Refuse a JPEG 2000 whose data end without their last mark; the decoder makes do with what is there.

    Raises:
        DecodeError: it is truncated.
    """
    start, end = (0, len(raw)) if raw.startswith(_CODESTREAM) else _jp2_codestream(raw)
    if end > len(raw) or not raw[start:end].rstrip(b"\0").endswith(b"\xff\xd9"):
        raise DecodeError("truncated", f"a JPEG 2000 of {len(raw)} bytes without the end of its data")


def _jp2_codestream(raw: bytes) -> tuple[int, int]:
    """Return the half-open range of the box with the data; an empty one at the end of the file if there is none."""
    position = 0
    while position + 8 <= len(raw):
        size_bytes, kind, head_bytes = int.from_bytes(raw[position : position + 4]), raw[position + 4 : position + 8], 8
        if size_bytes == 1:
            size_bytes, head_bytes = int.from_bytes(raw[position + 8 : position + 16]), 16
        end = position + size_bytes if size_bytes else len(raw)
        if kind == b"jp2c":
            return position + head_bytes, end
        position = max(end, position + 8)
    return len(raw), len(raw)


def _check_ico(image: "Image.Image", raw: bytes) -> None:
    """Check the PNG in an ICO that is of the size that Pillow chose.

    Raises:
        DecodeError: it is truncated or corrupt.
    """
    count = int.from_bytes(raw[4:6], "little")
    for entry in range(_ICO_HEAD_BYTES, _ICO_HEAD_BYTES + count * _ICO_ENTRY_BYTES, _ICO_ENTRY_BYTES):
        size_bytes, start = (int.from_bytes(raw[at : at + 4], "little") for at in (entry + 8, entry + 12))
        inner = raw[start : start + size_bytes]
        declared = int.from_bytes(inner[16:20]), int.from_bytes(inner[20:24])
        if inner.startswith(PNG_SIGNATURE) and declared == image.size:
            check_png(image, inner)


_CHECKS: dict[str, Callable[["Image.Image", bytes], None]] = {
    "PNG": check_png,
    "GIF": check_gif,
    "TIFF": check_tiff,
    "ICO": _check_ico,
    "JPEG2000": _check_jpeg2000,
    "PCX": _check_pcx,
}
_ENDS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda raw: not _ends_with(raw, b"\xff\xd9"),
    "GIF": lambda raw: not _ends_with(raw, b";"),
    "PNG": lambda raw: bool(raw[png_end(raw) :].strip(b"\0")),
    "WEBP": lambda raw: bool(raw[int.from_bytes(raw[4:8], "little") + 8 :].strip(b"\0")),
}


def _ends_with(raw: bytes, mark: bytes) -> bool:
    # Most files end with the mark itself; only the others are worth a copy.
    return raw.endswith(mark) or raw.rstrip(b"\0").endswith(mark)
