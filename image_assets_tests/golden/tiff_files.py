"""TIFF: strips, tiles, planes, depths, compressions and pages; written by hand where Pillow writes no such thing."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from image_assets.transforms.base import Pixels
from image_assets_tests.golden.case import (
    BACKGROUND,
    HEIGHT,
    QUARTERS,
    WIDTH,
    Case,
    as_rgb,
    deep_ramp,
    gray_ramp,
    packed,
    ramp,
    rounded,
    saved,
    steps,
)

_NONE, _DEFLATE, _PACKBITS = 1, 8, 32773
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_SHORT, _LONG = 3, 4


def tiff(tags: dict[int, tuple[int, ...]], parts: list[bytes], *, order: str = "<", next_ifd: int = 0) -> bytes:
    """Return a TIFF of the usual size; its folder comes first, then values that do not fit into it, then the parts.

    Args:
        tags: beside size, strips and, with the tag 322, tiles.
        parts: the strips or tiles, compressed.
        next_ifd: where the next page is said to be.
    """
    offsets_tag, sizes_tag = (324, 325) if 322 in tags else (273, 279)
    tags = {256: (WIDTH,), 257: (HEIGHT,), 259: (_NONE,), 262: (_RGB,), 277: (1,), 278: (HEIGHT,), **tags}
    tags = {**tags, sizes_tag: tuple(len(part) for part in parts), offsets_tag: (0,) * len(parts)}
    start = 8 + 2 + 12 * len(tags) + 4
    data_start = start + sum(4 * len(values) for values in tags.values() if len(values) > 1)
    offsets = [data_start + sum(len(part) for part in parts[:number]) for number in range(len(parts))]
    tags[offsets_tag] = tuple(offsets)
    fields, values = b"", b""
    for tag, numbers in sorted(tags.items()):
        packed_numbers = struct.pack(f"{order}{len(numbers)}I", *numbers)
        inside = packed_numbers if len(numbers) == 1 else struct.pack(order + "I", start + len(values))
        values += b"" if len(numbers) == 1 else packed_numbers
        fields += struct.pack(order + "HHI", tag, _LONG, len(numbers)) + inside
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return head + fields + struct.pack(order + "I", next_ifd) + values + b"".join(parts)


def tiff_cases() -> Iterator[Case]:
    """Yield every kind of TIFF."""
    colour = {258: (8, 8, 8), 277: (3,)}
    data = ramp().tobytes()
    yield Case("rgb.tif", tiff(colour, [data]), "TIFF", "RGB", ramp())
    yield Case("rgb_big_endian.tif", tiff(colour, [data], order=">"), "TIFF", "RGB", ramp())
    strips = [ramp()[row : row + 5].tobytes() for row in range(0, HEIGHT, 5)]
    yield Case("rgb_strips.tif", tiff({**colour, 278: (5,)}, strips), "TIFF", "RGB", ramp())
    planes = [ramp()[:, :, channel].tobytes() for channel in range(3)]
    yield Case("rgb_planes.tif", tiff({**colour, 284: (2,)}, planes), "TIFF", "RGB", ramp())
    tile = np.zeros((16, 16, 3), np.uint8)
    tile[:HEIGHT, :WIDTH] = ramp()
    tiles = {**colour, 322: (16,), 323: (16,)}
    yield Case("rgb_tile.tif", tiff(tiles, [tile.tobytes()]), "TIFF", "RGB", ramp())
    compressed = {"deflate": (_DEFLATE, zlib.compress(data, 9)), "packbits": (_PACKBITS, _literal_packbits(ramp()))}
    for name, (number, part) in compressed.items():
        yield Case(f"rgb_{name}.tif", tiff({**colour, 259: (number,)}, [part]), "TIFF", "RGB", ramp())
    yield from _gray_cases()
    yield from _by_pillow()
    yield from _short_cases(colour)
    yield Case("ifd_loop.tif", tiff(colour, [data], next_ifd=8), "TIFF", "RGB", ramp())
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, :8] = 255
    shown = ramp()
    shown[:, 8:] = BACKGROUND
    rgba = np.dstack([ramp(), alpha]).tobytes()
    yield Case("rgba.tif", tiff({258: (8,) * 4, 277: (4,), 338: (2,)}, [rgba]), "TIFF", "RGBA", shown)


def _gray_cases() -> Iterator[Case]:
    one = packed(steps(1), 1)
    for name, photometric, gray in (("black_is_zero", 1, steps(1) * 255), ("white_is_zero", 0, (1 - steps(1)) * 255)):
        raw = tiff({258: (1,), 262: (photometric,)}, [b"".join(one)])
        yield Case(f"gray1_{name}.tif", raw, "TIFF", "1", as_rgb(gray))
    raw = tiff({258: (8,), 262: (_WHITE_IS_ZERO,)}, [gray_ramp().tobytes()])
    yield Case("gray8_white_is_zero.tif", raw, "TIFF", "L", as_rgb(255 - gray_ramp()))
    deep = deep_ramp()
    for order, mode in (("<", "I;16"), (">", "I;16B")):
        raw = tiff({258: (16,), 262: (1,)}, [deep.astype(order + "u2").tobytes()], order=order)
        name = "gray16.tif" if order == "<" else "gray16_big_endian.tif"
        yield Case(name, raw, "TIFF", mode, as_rgb(rounded(deep)))
    raw = tiff({258: (16,), 262: (_WHITE_IS_ZERO,)}, [deep.astype("<u2").tobytes()])
    yield Case("gray16_white_is_zero.tif", raw, "TIFF", "I;16", as_rgb(rounded(65535 - deep.astype(int))))
    twelve = deep.astype(int) >> 4
    pairs = twelve.reshape(-1, 2)
    data = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    raw = tiff({258: (12,), 262: (_BLACK_IS_ZERO,)}, [data.astype(np.uint8).tobytes()])
    yield Case("gray12.tif", raw, "TIFF", "I;16", as_rgb(np.rint(twelve * 255 / 4095)))
    floats = (gray_ramp() / 255).astype("<f4")
    raw = tiff({258: (32,), 262: (_BLACK_IS_ZERO,), 339: (3,)}, [floats.tobytes()])
    yield Case("float.tif", raw, "TIFF", "F", as_rgb(gray_ramp()))
    colour = np.stack([deep, deep[::-1], deep[:, ::-1]], axis=2)
    # Of 16-bit colours the high byte is taken.
    raw = tiff({258: (16,) * 3, 277: (3,)}, [colour.astype("<u2").tobytes()])
    yield Case("rgb16.tif", raw, "TIFF", "RGB", (colour >> 8).astype(np.uint8))


def _by_pillow() -> Iterator[Case]:
    image = Image.fromarray(ramp())
    yield Case("rgb_lzw.tif", saved(image, "TIFF", compression="tiff_lzw"), "TIFF", "RGB", ramp())
    black_white = np.where(steps(2) == 0, 0, 255).astype(np.uint8)
    raw = saved(Image.fromarray(black_white).convert("1"), "TIFF", compression="group4")
    yield Case("gray1_group4.tif", raw, "TIFF", "1", as_rgb(black_white))
    raw = saved(QUARTERS, "TIFF", compression="jpeg")
    yield Case("rgb_jpeg.tif", raw, "TIFF", "RGB", QUARTERS, tolerance=40)
    # Without black, a colour is what its inks leave.
    cmyk = np.dstack([255 - ramp(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    raw = tiff({258: (8,) * 4, 277: (4,), 262: (5,)}, [cmyk.tobytes()])
    yield Case("cmyk.tif", raw, "TIFF", "CMYK", ramp())
    raw = saved(image, "TIFF", save_all=True, append_images=[Image.fromarray(255 - ramp())])
    yield Case("two_pages.tif", raw, "TIFF", "RGB", ramp(), flags=("animated",))


def _short_cases(colour: dict[int, tuple[int, ...]]) -> Iterator[Case]:
    data = ramp()[:-1].tobytes()
    # Enough bytes follow, and they are none of the strip's.
    yield Case("short_strip.tif", tiff(colour, [data]) + bytes(500), reason="truncated")
    raw = tiff({**colour, 259: (_DEFLATE,)}, [zlib.compress(data, 9)])
    yield Case("short_strip_deflate.tif", raw, reason="corrupt")
    raw = tiff({**colour, 259: (_PACKBITS,)}, [_literal_packbits(ramp()[:-1])])
    yield Case("short_strip_packbits.tif", raw, reason="corrupt")


def _literal_packbits(pixels: Pixels) -> bytes:
    rows: list[Any] = [row.tobytes() for row in pixels]
    return b"".join(bytes([len(row) - 1]) + row for row in rows)
