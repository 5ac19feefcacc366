"""BMP: every depth, run lengths, alpha; written by hand."""

import struct
from collections.abc import Iterator

import numpy as np

from image_assets_tests.golden.case import BACKGROUND, HEIGHT, WIDTH, Case, packed, ramp, steps
from image_assets_tests.golden.png_files import colours

_RAW, _RLE8, _RLE4, _FIELDS = 0, 1, 2, 3


def bmp(bits: int, data: bytes, palette: bytes = b"", compression: int = _RAW) -> bytes:
    """Return a BMP of the usual size; its rows stand upside down."""
    info = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0)
    return _with_head(info + palette, data)


def bmp_cases() -> Iterator[Case]:
    """Yield every kind of BMP."""
    for bits in (1, 4, 8):
        data = b"".join(row.ljust(-(-len(row) // 4) * 4, b"\0") for row in reversed(packed(steps(bits), bits)))
        shown = colours(1 << bits)[steps(bits)]
        yield Case(f"palette{bits}.bmp", bmp(bits, data, _palette(bits)), "BMP", "P", shown)
    turned = ramp()[::-1, :, ::-1]
    yield Case("rgb24.bmp", bmp(24, turned.tobytes()), "BMP", "RGB", ramp())
    yield Case("missing_row.bmp", bmp(24, turned[:-1].tobytes()), reason="truncated")
    zero = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    # The fourth byte of a plain 32-bit BMP means nothing.
    yield Case("rgb32.bmp", bmp(32, np.dstack([turned, zero]).tobytes()), "BMP", "RGB", ramp())
    fives = (ramp() >> 3).astype(np.uint16)
    words = (fives[:, :, 0] << 10 | fives[:, :, 1] << 5 | fives[:, :, 2]).astype("<u2")
    shown = (fives * 255 // 31).astype(np.uint8)
    yield Case("rgb16.bmp", bmp(16, words[::-1].tobytes()), "BMP", "RGB", shown)
    yield _with_alpha()
    yield from _run_lengths()


def _palette(bits: int) -> bytes:
    return b"".join(bytes([blue, green, red, 0]) for red, green, blue in colours(1 << bits).tolist())


def _with_head(info: bytes, data: bytes) -> bytes:
    offset = 14 + len(info)
    return struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset) + info + data


def _with_alpha() -> Case:
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    alpha[:6] = 255
    shown = ramp()
    shown[6:] = BACKGROUND
    data = np.dstack([ramp()[:, :, ::-1], alpha])[::-1].tobytes()
    info = struct.pack("<IiiHHIIiiII", 108, WIDTH, HEIGHT, 1, 32, _FIELDS, len(data), 0, 0, 0, 0)
    masks = struct.pack("<IIII4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")
    return Case("rgba32.bmp", _with_head(info + masks + bytes(48), data), "BMP", "RGBA", shown)


def _run_lengths() -> Iterator[Case]:
    # Each row is a run of 10 of one colour, and 6 bytes as they are.
    values = np.empty((HEIGHT, WIDTH), np.uint8)
    rle8 = rle4 = b""
    for row in range(HEIGHT):
        values[row, :10], values[row, 10:] = row, (1, 2, 3, 4, 5, 6)
    for row in range(HEIGHT - 1, -1, -1):
        rle8 += bytes([10, row, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0])
        rle4 += bytes([10, row << 4 | row, 0, 6, 0x12, 0x34, 0x56, 0, 0, 0])
    yield Case("rle8.bmp", bmp(8, rle8 + b"\0\1", _palette(8), _RLE8), "BMP", "P", colours(256)[values])
    yield Case("rle4.bmp", bmp(4, rle4 + b"\0\1", _palette(4), _RLE4), "BMP", "P", colours(16)[values])
    short = rle8[: len(rle8) // 2]
    yield Case("rle8_ends_early.bmp", bmp(8, short + b"\0\1", _palette(8), _RLE8), reason="truncated")
