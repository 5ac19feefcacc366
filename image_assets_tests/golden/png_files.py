"""PNG: every depth and kind of colour, transparency of every kind, interlaced, animated; written by hand."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from image_assets.transforms.base import Pixels
from image_assets_tests.golden.case import (
    BACKGROUND,
    HEIGHT,
    WIDTH,
    Case,
    as_rgb,
    deep_ramp,
    gray_ramp,
    packed,
    ramp,
    rounded,
    steps,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(head: tuple[int, int], rows: list[bytes], extra: bytes = b"", *, interlace: int = 0) -> bytes:
    """Return a PNG of the usual size.

    Args:
        head: bits a channel, kind of colour.
        extra: chunks before the data.
    """
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, *head, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return SIGNATURE + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def interlaced_rows(values: Any) -> list[bytes]:
    """Return the rows of all seven passes, whole bytes a pixel."""
    parts = [values[top::down, left::right] for left, top, right, down in _PASSES]
    return [row.tobytes() for part in parts if part.size for row in part]


def rows_of(values: Any) -> list[bytes]:
    """Return rows of whole bytes, numbers of 16 bits with the high byte first."""
    return [row.astype(row.dtype.newbyteorder(">")).tobytes() for row in values]


def png_cases() -> Iterator[Case]:
    """Yield every kind of PNG."""
    for bits in (1, 2, 4, 8):
        gray = steps(bits).astype(int) * 255 // ((1 << bits) - 1)
        mode = "1" if bits == 1 else "L"
        yield Case(f"gray{bits}.png", png((bits, _GRAY), packed(steps(bits), bits)), "PNG", mode, as_rgb(gray))
        yield _palette(bits)
    yield from _deep()
    yield from _transparent()
    yield Case("rgb.png", png((8, _RGB), rows_of(ramp())), "PNG", "RGB", ramp())
    raw = png((8, _RGB), interlaced_rows(ramp()), interlace=1)
    yield Case("rgb_interlaced.png", raw, "PNG", "RGB", ramp())
    raw = png((8, _GRAY), interlaced_rows(gray_ramp()), interlace=1)
    yield Case("gray_interlaced.png", raw, "PNG", "L", as_rgb(gray_ramp()))
    yield Case("animated.png", _animated(), "PNG", "RGB", ramp(), flags=("animated",))
    junk = png((8, _RGB), rows_of(ramp())) + b"<html><script>alert(1)</script></html>"
    yield Case("and_html.png", junk, "PNG", "RGB", ramp(), flags=("trailing_data",))
    yield Case("really_a_png.jpg", png((8, _RGB), rows_of(ramp())), "PNG", "RGB", ramp())
    yield Case("damaged.png", _damaged(), reason="corrupt")
    yield Case("missing_rows.png", png((8, _RGB), rows_of(ramp())[:-1]), reason="truncated")
    raw = png((8, _RGB), interlaced_rows(ramp())[:-1], interlace=1)
    yield Case("missing_rows_interlaced.png", raw, reason="truncated")
    yield Case("text_bomb.png", png((8, _RGB), rows_of(ramp()), _text_bomb()), reason="bomb")


def colours(count: int) -> Pixels:
    """Return a palette, shape (count, 3)."""
    number = np.arange(count)
    return np.stack([number * 15 % 256, 255 - number, number * 71 % 256], axis=1).astype(np.uint8)


def _palette(bits: int) -> Case:
    palette = colours(1 << bits)
    # The first colour is transparent.
    extra = chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", b"\0")
    shown = palette.copy()
    shown[0] = BACKGROUND
    raw = png((bits, _PALETTE), packed(steps(bits), bits), extra)
    return Case(f"palette{bits}_transparent.png", raw, "PNG", "P", shown[steps(bits)])


def _deep() -> Iterator[Case]:
    deep = deep_ramp()
    yield Case("gray16.png", png((16, _GRAY), rows_of(deep)), "PNG", "I;16", as_rgb(rounded(deep)))
    # Of 16-bit colours the high byte is taken.
    colour = np.stack([deep, deep[::-1], deep[:, ::-1]], axis=2)
    yield Case("rgb16.png", png((16, _RGB), rows_of(colour)), "PNG", "RGB", (colour >> 8).astype(np.uint8))
    alpha = np.full((HEIGHT, WIDTH), 65535, np.uint16)
    # Beside alpha, gray is treated as a colour.
    for name, kind, mode, values in (
        ("gray_alpha16", _GRAY_ALPHA, "RGBA", deep),
        ("rgba16", _RGBA, "RGBA", colour),
    ):
        high = (values >> 8).astype(np.uint8)
        raw = png((16, kind), rows_of(np.dstack([values, alpha])))
        yield Case(f"{name}.png", raw, "PNG", mode, high if high.ndim == 3 else as_rgb(high))
    transparent = chunk(b"tRNS", struct.pack(">H", int(deep[3, 3])))
    shown = as_rgb(rounded(deep))
    shown[3, 3] = BACKGROUND
    yield Case("gray16_transparent.png", png((16, _GRAY), rows_of(deep), transparent), "PNG", "I;16", shown)


def _transparent() -> Iterator[Case]:
    shown = ramp()
    shown[2, 5] = BACKGROUND
    one = chunk(b"tRNS", struct.pack(">3H", *ramp()[2, 5].tolist()))
    yield Case("rgb_transparent.png", png((8, _RGB), rows_of(ramp()), one), "PNG", "RGB", shown)
    shown = as_rgb(gray_ramp())
    shown[gray_ramp() == gray_ramp()[4, 4]] = BACKGROUND
    one = chunk(b"tRNS", struct.pack(">H", int(gray_ramp()[4, 4])))
    yield Case("gray8_transparent.png", png((8, _GRAY), rows_of(gray_ramp()), one), "PNG", "L", shown)
    # Left half opaque, right half transparent.
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, : WIDTH // 2] = 255
    for name, kind, mode, colour in (("rgba", _RGBA, "RGBA", ramp()), ("gray_alpha", _GRAY_ALPHA, "LA", gray_ramp())):
        shown = (colour if colour.ndim == 3 else as_rgb(colour)).copy()
        shown[alpha == 0] = BACKGROUND
        yield Case(f"{name}.png", png((8, kind), rows_of(np.dstack([colour, alpha]))), "PNG", mode, shown)


def _animated() -> bytes:
    control = struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    raw = png((8, _RGB), rows_of(ramp()), chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", control))
    end = len(raw) - 12
    second = zlib.compress(b"".join(b"\0" + row for row in rows_of(255 - ramp())), 9)
    frame = chunk(b"fcTL", struct.pack(">I", 1) + control[4:]) + chunk(b"fdAT", struct.pack(">I", 2) + second)
    return raw[:end] + frame + raw[end:]


def _damaged() -> bytes:
    raw = bytearray(png((8, _RGB), rows_of(ramp())))
    raw[-14] ^= 1  # in the checksum of the data
    return bytes(raw)


def _text_bomb() -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_100_000), 9))
