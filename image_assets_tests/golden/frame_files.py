"""Files of several frames or pages, and what each of these must become: all of them, with ``image.frames: all``."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from image_assets.transforms.base import Pixels
from image_assets.transforms.orientation import orient
from image_assets_tests.golden.case import (
    BACKGROUND,
    HEIGHT,
    QUARTERS,
    WIDTH,
    as_rgb,
    deep_ramp,
    gray_ramp,
    ramp,
    rounded,
    saved,
)
from image_assets_tests.golden.png_files import SIGNATURE, chunk, rows_of
from image_assets_tests.transforms.pictures import SRGB_BLUE, SRGB_GREEN, SRGB_RED, exif_block, rgb_profile

# Left, top, width and height.
Box = tuple[int, int, int, int]
_WHOLE: Box = (0, 0, WIDTH, HEIGHT)
_KEEP, _CLEAR, _RESTORE = 1, 2, 3
_COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], np.uint8)
_SEE_THROUGH = 3  # instead of white
_SOURCE, _OVER = 0, 1


@dataclass(frozen=True)
class FramesCase:
    """One file; ``frames`` are upright RGB; ``tolerance`` as in a case of one frame."""

    name: str
    raw: bytes
    frames: tuple[Pixels, ...]
    tolerance: int = 0


def frames_cases() -> Iterator[FramesCase]:
    """Yield every kind of file with several frames, and one with a single one."""
    yield _gif("kept.gif", [(_WHOLE, _KEEP), ((8, 6, 8, 6), _KEEP), ((2, 1, 5, 4), _KEEP)])
    yield _gif("cleared.gif", [(_WHOLE, _KEEP), ((8, 6, 8, 6), _CLEAR), ((2, 1, 5, 4), _CLEAR), ((0, 8, 9, 4), _KEEP)])
    yield _gif("restored.gif", [(_WHOLE, _KEEP), ((8, 6, 8, 6), _RESTORE), ((2, 1, 9, 7), _RESTORE), ((0, 8, 9, 4), 1)])
    for name, blend in (("source.png", _SOURCE), ("over.png", _OVER)):
        yield _png(
            name, [(_WHOLE, 0), ((8, 6, 8, 6), 0), ((2, 1, 5, 4), 1), ((0, 4, 9, 8), 2), ((1, 1, 3, 3), 0)], blend
        )
    yield _png("default_apart.png", [(_WHOLE, 0), ((8, 6, 8, 6), 0)], _SOURCE, apart=True)
    yield from _by_pillow()
    yield _pages()
    yield _profiles()
    yield FramesCase("single.gif", saved(Image.fromarray(QUARTERS).quantize(4), "GIF"), (QUARTERS,))


def _numbers(box: Box, number: int) -> NDArray[np.uint8]:
    """Return numbers of colours for one frame, none like the frame before, in stripes."""
    y, x = np.mgrid[: box[3], : box[2]]
    return ((x + y + number) % 4).astype(np.uint8)


def _gif(name: str, parts: list[tuple[Box, int]]) -> FramesCase:
    """Return a GIF of these boxes and disposals in which white is transparent."""
    raw = b"GIF89a" + struct.pack("<HHBBB", WIDTH, HEIGHT, 0x81, 0, 0) + _COLOURS.tobytes()
    canvas, clear = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.ones((HEIGHT, WIDTH), bool)
    frames = []
    for number, (box, disposal) in enumerate(parts):
        numbers, before = _numbers(box, number), (canvas.copy(), clear.copy())
        raw += b"!\xf9\4" + bytes([disposal << 2 | 1, 5, 0, _SEE_THROUGH, 0])
        raw += b"," + struct.pack("<HHHHB", *box, 0) + b"\2" + _blocks(numbers)
        where, seen = _slices(box), numbers != _SEE_THROUGH
        canvas[where][seen], clear[where] = _COLOURS[numbers][seen], clear[where] & ~seen
        frames.append(np.where(clear[:, :, np.newaxis], np.array(BACKGROUND, np.uint8), canvas))
        if disposal == _CLEAR:
            clear[where] = True
        elif disposal == _RESTORE:
            canvas, clear = before
    return FramesCase(name, raw + b";", tuple(frames))


def _blocks(numbers: NDArray[np.uint8]) -> bytes:
    """Return the codes of a frame, 3 bits each: before the table grows, it is cleared."""
    flat = numbers.reshape(-1).tolist()
    codes = [code for at in range(0, len(flat), 2) for code in (4, *flat[at : at + 2])] + [5]
    stream = sum(code << 3 * at for at, code in enumerate(codes))
    data = stream.to_bytes(-(-len(codes) * 3 // 8), "little")
    return bytes([len(data)]) + data + b"\0"


def _slices(box: Box) -> tuple[slice, slice]:
    left, top, width, height = box
    return slice(top, top + height), slice(left, left + width)


def _png(name: str, parts: list[tuple[Box, int]], blend: int, *, apart: bool = False) -> FramesCase:
    """Return an animated PNG of these boxes and disposals (0 keep, 1 clear, 2 restore), with holes in each frame.

    Args:
        apart: a default image comes before them that is none of them.
    """
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 6, 0, 0, 0)
    raw = SIGNATURE + chunk(b"IHDR", header) + chunk(b"acTL", struct.pack(">II", len(parts), 0))
    canvas = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    frames, sequence = [], 0
    if apart:
        raw += chunk(b"IDAT", _rows(np.dstack([QUARTERS, np.full((HEIGHT, WIDTH), 255, np.uint8)])))
        frames.append(QUARTERS)
    for number, (box, disposal) in enumerate(parts):
        part, before = _with_holes(box, number), canvas.copy()
        fields = (sequence, box[2], box[3], box[0], box[1], 1, 20, disposal, blend)
        raw += chunk(b"fcTL", struct.pack(">IIIIIHHBB", *fields))
        sequence += 1
        if number == 0 and not apart:
            raw += chunk(b"IDAT", _rows(part))
        else:
            raw += chunk(b"fdAT", struct.pack(">I", sequence) + _rows(part))
            sequence += 1
        where = _slices(box)
        shown = part if blend == _SOURCE else np.where(part[:, :, 3:] == 255, part, canvas[where])
        canvas[where] = shown
        frames.append(np.where(canvas[:, :, 3:] == 255, canvas[:, :, :3], np.array(BACKGROUND, np.uint8)))
        if disposal == 1:
            canvas[where] = 0
        elif disposal == 2:
            canvas = before
    return FramesCase(name, raw + chunk(b"IEND", b""), tuple(frames))


def _with_holes(box: Box, number: int) -> NDArray[np.uint8]:
    numbers = _numbers(box, number)
    return np.dstack([_COLOURS[numbers] // 2 + number, np.where(numbers == 1, 0, 255).astype(np.uint8)])


def _rows(values: Any) -> bytes:
    return zlib.compress(b"".join(b"\0" + row for row in rows_of(values)), 9)


def _by_pillow() -> Iterator[FramesCase]:
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, 8:] = 0
    plain = (ramp(), 255 - ramp(), QUARTERS)
    files = [Image.fromarray(np.dstack([frame, alpha])) for frame in plain]
    shown = tuple(np.where(alpha[:, :, np.newaxis] == 255, frame, np.array(BACKGROUND, np.uint8)) for frame in plain)
    options: dict[str, Any] = {"save_all": True, "duration": 50}
    raw = saved(files[0], "WEBP", append_images=files[1:], lossless=True, **options)
    yield FramesCase("alpha.webp", raw, shown)
    # Stored turned by a quarter, and each frame is to be turned back.
    stored = [Image.fromarray(np.ascontiguousarray(orient(frame, 8))) for frame in plain]
    options["exif"] = exif_block({0x0112: 6})
    raw = saved(stored[0], "WEBP", append_images=stored[1:], lossless=True, **options)
    yield FramesCase("orientation6.webp", raw, plain)
    # Without EXIF: Pillow 13 ends the process when it writes that into a sequence.
    del options["exif"]
    coarse = (QUARTERS, 255 - QUARTERS, QUARTERS[::-1])
    files = [Image.fromarray(np.ascontiguousarray(frame)) for frame in coarse]
    raw = saved(files[0], "AVIF", append_images=files[1:], quality=90, subsampling="4:4:4", **options)
    yield FramesCase("lossy.avif", raw, coarse, tolerance=40)


def _pages() -> FramesCase:
    """Return a TIFF whose pages differ in size, mode, depth, orientation and compression."""
    deep = deep_ramp()
    pages: list[tuple[Any, dict[str, Any], Pixels]] = [
        (ramp(), {}, ramp()),
        (gray_ramp()[:9, :7], {}, as_rgb(gray_ramp()[:9, :7])),
        (deep, {}, as_rgb(rounded(deep))),
        (np.ascontiguousarray(orient(ramp(), 8)), {"tiffinfo": {274: 6}}, ramp()),
        (np.tile(QUARTERS, (3, 2, 1)), {"compression": "tiff_lzw"}, np.tile(QUARTERS, (3, 2, 1))),
        (255 - ramp(), {}, 255 - ramp()),
    ]
    return FramesCase("pages.tif", _tiff(pages), tuple(pixels for _, _, pixels in pages))


def _profiles() -> FramesCase:
    """Return a TIFF in which only the middle page has a profile, and in that red and green have changed places."""
    swapped = rgb_profile(SRGB_GREEN, SRGB_RED, SRGB_BLUE)
    pages = [(QUARTERS, {}, QUARTERS), (QUARTERS, {"icc_profile": swapped}, QUARTERS[:, :, [1, 0, 2]])]
    pages.append(pages[0])
    return FramesCase("profiles.tif", _tiff(pages), tuple(pixels for _, _, pixels in pages), tolerance=40)


def _tiff(pages: list[tuple[Any, dict[str, Any], Pixels]]) -> bytes:
    """Return a TIFF of pages, each as it is stored and with options of its own."""
    images = []
    for stored, options, _ in pages:
        image: Any = Image.fromarray(np.ascontiguousarray(stored))
        image.encoderinfo = options
        images.append(image)
    return saved(images[0], "TIFF", save_all=True, append_images=images[1:])
