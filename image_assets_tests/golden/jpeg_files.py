"""JPEG: baseline, progressive, gray, four inks, several pictures in one file, 12 bits, arithmetic coding."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from image_assets.transforms.base import Pixels
from image_assets_tests.golden.case import HEIGHT, QUARTERS, WIDTH, Case, as_rgb, saved

_COLOURS = 40  # 8 x 8 blocks do not end where the quarters do
_GRAYS = 6


def jpeg_cases() -> Iterator[Case]:
    """Yield every kind of JPEG."""
    baseline = saved(QUARTERS, "JPEG", quality=95, subsampling=0)
    yield Case("baseline.jpg", baseline, "JPEG", "RGB", QUARTERS, tolerance=_COLOURS)
    raw = saved(QUARTERS, "JPEG", quality=95, subsampling=0, progressive=True)
    yield Case("progressive.jpg", raw, "JPEG", "RGB", QUARTERS, tolerance=_COLOURS)
    raw = saved(QUARTERS, "JPEG", quality=95, keep_rgb=True)
    yield Case("stored_as_rgb.jpg", raw, "JPEG", "RGB", QUARTERS, tolerance=_COLOURS)
    gray = np.repeat(np.repeat(np.array([[30, 90], [150, 220]], np.uint8), 6, axis=0), 8, axis=1)
    yield Case("gray.jpg", saved(gray, "JPEG", quality=95), "JPEG", "L", as_rgb(gray), tolerance=_GRAYS)
    yield from _four_inks()
    raw = saved(QUARTERS, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], quality=95, subsampling=0)
    yield Case("two_pictures.mpo", raw, "JPEG", "RGB", QUARTERS, tolerance=_COLOURS)
    zipped = baseline + b"PK\5\6" + b"\1" * 18
    yield Case("and_zip.jpg", zipped, "JPEG", "RGB", QUARTERS, flags=("trailing_data",), tolerance=_COLOURS)
    yield Case("and_zeros.jpg", baseline + bytes(64), "JPEG", "RGB", QUARTERS, tolerance=_COLOURS)
    yield Case("arithmetic.jpg", _arithmetic(), "JPEG", "L", as_rgb(np.full((HEIGHT, WIDTH), 128)), tolerance=1)
    yield Case("twelve_bits.jpg", _head_of_twelve_bits(), reason="unsupported_format")
    yield Case("many_scans.jpg", _scans(501), reason="bomb")
    yield Case("no_size.jpg", baseline[: baseline.index(b"\xff\xc0")] + segment(0xC0, bytes(15)), reason="truncated")


def segment(marker: int, body: bytes) -> bytes:
    """Return one segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _four_inks() -> Iterator[Case]:
    """Yield inks as they are and as luma and chroma.

    Four inks are stored as Adobe stores them, 255 for none, whether a segment says that Adobe did it or not.
    """
    inks = np.dstack([255 - QUARTERS, np.zeros((HEIGHT, WIDTH), np.uint8)])
    raw = saved(_cmyk(inks), "JPEG", quality=95)
    yield Case("cmyk.jpg", raw, "JPEG", "CMYK", QUARTERS, tolerance=_COLOURS)
    start = raw.index(b"\xff\xee")
    size_bytes = 2 + int.from_bytes(raw[start + 2 : start + 4])
    without = raw[:start] + raw[start + size_bytes :]
    yield Case("cmyk_without_adobe.jpg", without, "JPEG", "CMYK", QUARTERS, tolerance=_COLOURS)
    chroma = np.asarray(Image.fromarray(255 - QUARTERS).convert("YCbCr"))
    stored = np.dstack([chroma, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    ycck = bytearray(saved(_cmyk(255 - stored), "JPEG", quality=95))
    start = ycck.index(b"\xff\xee")
    ycck[start + 15] = 2  # Adobe's number for luma, chroma and black
    yield Case("ycck.jpg", bytes(ycck), "JPEG", "CMYK", QUARTERS, tolerance=_COLOURS)


def _cmyk(inks: Pixels) -> Image.Image:
    return Image.frombytes("CMYK", (WIDTH, HEIGHT), np.ascontiguousarray(inks).tobytes())


def _gray_head(frame: int, bits: int) -> bytes:
    body = struct.pack(">BHHB", bits, HEIGHT, WIDTH, 1) + bytes([1, 0x11, 0])
    return b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(frame, body)


def _arithmetic() -> bytes:
    """Return a progressive, arithmetic coded JPEG with one scan, the means of the blocks, all zero: mid-gray.

    An encoder leaves zeros at the end of its data out, and here the data are nothing else.
    """
    return _gray_head(0xCA, 8) + segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + b"\xff\xd9"


def _head_of_twelve_bits() -> bytes:
    return _gray_head(0xC1, 12) + segment(0xDA, bytes([1, 1, 0, 0, 63, 0])) + bytes(16) + b"\xff\xd9"


def _scans(count: int) -> bytes:
    table = segment(0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0")
    scan = segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + b"\0"
    return _gray_head(0xC2, 8) + table + scan * count + b"\xff\xd9"
