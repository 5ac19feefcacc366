"""All frames of a GIF: how many there are, and that each of them holds all of its pixels."""

import io
import struct

from image_assets.core.errors import DecodeError
from image_assets.transforms.gif_stream import check_codes, palette_bytes, read_blocks

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_HEADER_BYTES, _DESCRIPTOR_BYTES = 13, 10
_INTERLACED = 0x40
# Nothing but what is missing has this number, as long as colours have fewer than 8 bits.
_BLANK = 255


def check_gif_frames(raw: bytes, max_frames: int) -> int:
    """Return the number of frames of a GIF that holds all of them, to its trailer.

    Each frame is decoded once alone: on its canvas, a pixel that is missing looks like one that stays as it was.

    Raises:
        DecodeError: there are more than the limit, or a part is missing.
        Exception: whatever Pillow raises for broken bytes.
    """
    count, position = 0, _HEADER_BYTES + palette_bytes(raw[10])
    while position < len(raw) and raw[position] != _TRAILER:
        if raw[position] == _EXTENSION:
            position = read_blocks(raw, position + 2)[1]
        elif raw[position] == _IMAGE:
            count += 1
            if count > max_frames:
                raise DecodeError("bomb", f"more than {max_frames} frames; limits.max_frames is {max_frames}")
            position = _check_frame(raw, position)
        else:
            # Pillow passes over bytes that begin no block.
            position += 1
    if position >= len(raw):
        raise DecodeError("truncated", f"a GIF of {len(raw)} bytes without its trailer; frames may be missing")
    return count


def _check_frame(raw: bytes, start: int) -> int:
    """Return where the frame ends whose descriptor stands at ``start``.

    Raises:
        DecodeError: it is truncated.
    """
    if start + _DESCRIPTOR_BYTES >= len(raw):
        raise DecodeError("truncated", f"a GIF of {len(raw)} bytes that ends in the head of a frame")
    width_px, height_px, flags = struct.unpack_from("<HHB", raw, start + 5)
    position = start + _DESCRIPTOR_BYTES + palette_bytes(flags)
    data, end = read_blocks(raw, position + 1)
    if end > len(raw):
        raise DecodeError("truncated", f"a GIF of {len(raw)} bytes whose last frame goes on")
    code_bits, interlaced = raw[position], bool(flags & _INTERLACED)
    if width_px and height_px and _misses_last_row(raw[position:end], (width_px, height_px), interlaced=interlaced):
        # Of colours of 8 bits, one is the blank itself.
        check_codes(data, code_bits, width_px * height_px)
    return end


def _misses_last_row(codes: bytes, size_px: tuple[int, int], *, interlaced: bool) -> bool:
    """Return whether the row of a frame that is decoded last is blank.

    Args:
        codes: the number of bits, then the blocks of codes.
    """
    from PIL import Image

    size = struct.pack("<HH", *size_px)
    head = b"GIF89a" + size + b"\xf7\0\0" + bytes(3 * 256) + b"!\xf9\4\1\0\0" + bytes([_BLANK, 0])
    frame = b"," + bytes(4) + size + bytes([_INTERLACED if interlaced else 0])
    row = size_px[1] - 1
    if interlaced and row:
        # The odd rows come last.
        row = (size_px[1] - 2) // 2 * 2 + 1
    with Image.open(io.BytesIO(head + frame + codes + b";"), formats=("GIF",)) as image:
        return image.crop((0, row, size_px[0], row + 1)).getextrema() == (_BLANK, _BLANK)
