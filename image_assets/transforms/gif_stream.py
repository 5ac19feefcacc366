"""The first frame of a GIF: that its data are there to the end, and that they hold all of its pixels."""

from typing import TYPE_CHECKING

from image_assets.core.errors import DecodeError

if TYPE_CHECKING:
    from PIL import Image

_EXTENSION, _IMAGE = 0x21, 0x2C
_HEADER_BYTES, _DESCRIPTOR_BYTES = 13, 10
_MAX_CODES, _MAX_CODE_BITS = 4096, 12


def check_gif(image: "Image.Image", raw: bytes) -> None:
    """Refuse a GIF that Pillow accepted although its first frame is not whole; further frames are not looked at.

    Args:
        image: the first frame, as Pillow loaded it.

    Raises:
        DecodeError: it is truncated.
    """
    start = _first_image(raw)
    left, top, width_px, height_px = (
        int.from_bytes(raw[at : at + 2], "little") for at in range(start + 1, start + 9, 2)
    )
    position = start + _DESCRIPTOR_BYTES + palette_bytes(raw[start + 9])
    code_bits, (data, end) = raw[position], read_blocks(raw, position + 1)
    if end > len(raw):
        raise DecodeError("truncated", f"a GIF of {len(raw)} bytes whose first frame goes on")
    row = top + height_px - 1
    if raw[start + 9] & 0x40 and height_px > 1:
        # Of an interlaced frame the odd rows come last.
        row = top + (height_px - 2) // 2 * 2 + 1
    # Pillow begins with the transparent colour, or with zeros; anything else came from the file.
    blank = image.info.get("transparency", 0)
    if image.crop((left, row, left + width_px, row + 1)).getextrema() != (blank, blank):
        return
    check_codes(data, code_bits, width_px * height_px)


def check_codes(data: bytes, code_bits: int, needed_px: int) -> None:
    """Refuse LZW codes that stand for fewer pixels than a frame has.

    Raises:
        DecodeError: it is truncated.
    """
    found_px = _pixels(data, code_bits, needed_px)
    if found_px < needed_px:
        raise DecodeError("truncated", f"GIF: {found_px} of {needed_px} pixels are there")


def _first_image(raw: bytes) -> int:
    """Return where the descriptor of the first image stands; Pillow found one, so there is one."""
    position = _HEADER_BYTES + palette_bytes(raw[10])
    while position < len(raw) and raw[position] != _IMAGE:
        # Between blocks Pillow passes over bytes that begin none.
        position = read_blocks(raw, position + 2)[1] if raw[position] == _EXTENSION else position + 1
    if position + _DESCRIPTOR_BYTES >= len(raw):
        raise DecodeError("truncated", f"a GIF of {len(raw)} bytes that ends before its first frame")
    return position


def palette_bytes(flags: int) -> int:
    """Return how many bytes the palette has that stands behind these flags."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def read_blocks(raw: bytes, position: int) -> tuple[bytes, int]:
    """Return the joined content of the blocks up to an empty one, and where that ends (beyond the file: cut off)."""
    parts = []
    while position < len(raw) and (size_bytes := raw[position]):
        parts.append(raw[position + 1 : position + 1 + size_bytes])
        position += 1 + size_bytes
    return b"".join(parts), position + 1


def _pixels(data: bytes, code_bits: int, enough_px: int) -> int:
    """Return how many pixels the LZW codes stand for, or some number from ``enough_px`` on."""
    clear, total_px, previous = 1 << code_bits, 0, 0
    # Of each code, how many pixels it stands for; the two after the colours are commands.
    lengths = [1] * clear + [0, 0]
    pending, pending_bits, width = 0, 0, code_bits + 1
    for byte in data:
        pending |= byte << pending_bits
        pending_bits += 8
        while pending_bits >= width:
            code = pending & (1 << width) - 1
            pending >>= width
            pending_bits -= width
            if code == clear:
                del lengths[clear + 2 :]
                previous, width = 0, code_bits + 1
                continue
            if previous and len(lengths) < _MAX_CODES:
                lengths.append(previous + 1)
            if code == clear + 1 or code >= len(lengths) or total_px >= enough_px:
                return total_px
            previous = lengths[code]
            total_px += previous
            if len(lengths) == 1 << width and width < _MAX_CODE_BITS:
                width += 1
    return total_px
