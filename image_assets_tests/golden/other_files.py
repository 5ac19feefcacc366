"""GIF, WebP, AVIF and the rarer formats, what is no image, and the eight orientations."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from image_assets.transforms.orientation import orient
from image_assets_tests.golden.case import (
    BACKGROUND,
    HEIGHT,
    QUARTERS,
    WIDTH,
    Case,
    as_rgb,
    deep_ramp,
    gray_ramp,
    ramp,
    rounded,
    saved,
)
from image_assets_tests.golden.gif_files import few_colours, gif_cases
from image_assets_tests.transforms.pictures import SRGB_BLUE, SRGB_GREEN, SRGB_RED, exif_block, rgb_profile

_LOSSY = 40


def other_cases() -> Iterator[Case]:
    """Yield all files that are neither PNG, JPEG, TIFF nor BMP, and those of several formats."""
    yield from gif_cases()
    yield from _web()
    yield from _portable_maps()
    yield from _rare()
    yield from _refused()
    yield from _orientations()
    # Red and green have changed places in this profile: whoever ignores it sees the wrong one.
    swapped = rgb_profile(SRGB_GREEN, SRGB_RED, SRGB_BLUE)
    for name, kind, options in (
        ("profile.png", "PNG", {}),
        ("profile.tif", "TIFF", {}),
        ("profile.jpg", "JPEG", {"quality": 95, "subsampling": 0}),
        ("profile.webp", "WEBP", {"lossless": True}),
    ):
        raw = saved(QUARTERS, kind, icc_profile=swapped, **options)
        yield Case(name, raw, kind, "RGB", QUARTERS[:, :, [1, 0, 2]], tolerance=_LOSSY)
    raw = saved(QUARTERS, "PNG", icc_profile=b"no profile at all")
    yield Case("bad_profile.png", raw, "PNG", "RGB", QUARTERS, flags=("bad_icc",))


def _web() -> Iterator[Case]:
    image = Image.fromarray(ramp())
    yield Case("lossless.webp", saved(image, "WEBP", lossless=True), "WEBP", "RGB", ramp())
    yield Case("lossy.webp", saved(QUARTERS, "WEBP", quality=95), "WEBP", "RGB", QUARTERS, tolerance=_LOSSY)
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, 8:] = 0
    shown = ramp()
    shown[:, 8:] = BACKGROUND
    raw = saved(np.dstack([ramp(), alpha]), "WEBP", lossless=True)
    yield Case("alpha.webp", raw, "WEBP", "RGBA", shown)
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - ramp())], "duration": 100}
    yield Case("animated.webp", saved(image, "WEBP", lossless=True, **frames), "WEBP", "RGB", ramp(), ("animated",))
    avif = saved(QUARTERS, "AVIF", quality=90, subsampling="4:4:4")
    yield Case("lossy.avif", avif, "AVIF", "RGB", QUARTERS, tolerance=_LOSSY)


def _portable_maps() -> Iterator[Case]:
    size = f"{WIDTH} {HEIGHT}\n".encode()
    yield Case("rgb.ppm", b"P6\n" + size + b"255\n" + ramp().tobytes(), "PPM", "RGB", ramp())
    yield Case("gray.pgm", b"P5\n" + size + b"255\n" + gray_ramp().tobytes(), "PPM", "L", as_rgb(gray_ramp()))
    deep = deep_ramp()
    raw = b"P5\n" + size + b"65535\n" + deep.astype(">u2").tobytes()
    yield Case("gray16.pgm", raw, "PPM", "I", as_rgb(rounded(deep)))
    colour = np.stack([deep, deep[::-1], deep[:, ::-1]], axis=2)
    raw = b"P6\n" + size + b"65535\n" + colour.astype(">u2").tobytes()
    yield Case("rgb16.ppm", raw, "PPM", "RGB", rounded(colour))
    text = " ".join(map(str, gray_ramp().reshape(-1).tolist())).encode()
    yield Case("text.pgm", b"P2\n# a comment\n" + size + b"255\n" + text + b"\n", "PPM", "L", as_rgb(gray_ramp()))
    bits = (gray_ramp() > 99).astype(np.uint8)
    raw = b"P4\n" + size + np.packbits(1 - bits).tobytes()
    yield Case("bits.pbm", raw, "PPM", "1", as_rgb(bits * 255))


def _rare() -> Iterator[Case]:
    image, palette = Image.fromarray(ramp()), few_colours()
    square = np.zeros((16, 16, 3), np.uint8)
    square[:] = ramp()[:1]
    plain: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("rgb.jp2", "JPEG2000", {"irreversible": False}), ("rgb.qoi", "QOI", {}), ("rgb.tga", "TGA", {}),
        ("rgb_rle.tga", "TGA", {"compression": "tga_rle"}), ("rgb.pcx", "PCX", {}), ("rgb.sgi", "SGI", {}),
        ("rgb.dds", "DDS", {}),
    )  # fmt: skip
    for name, kind, options in plain:
        yield Case(name, saved(image, kind, **options), kind, "RGB", ramp())
    pcx = saved(palette, "PCX")
    yield Case("palette.pcx", pcx, "PCX", "P", QUARTERS)
    yield Case("palette_cut_off.pcx", pcx[:-1], reason="truncated")
    yield Case("png_inside.ico", saved(square, "ICO", sizes=[(16, 16)]), "ICO", "RGB", square)
    # By hand: Pillow writes the rows of the mask too short.
    info = struct.pack("<IiiHHIIiiII", 40, 16, 32, 1, 24, 0, 0, 0, 0, 0, 0)
    bitmap = info + square[::-1, :, ::-1].tobytes() + bytes(15 * 4) + b"\x80\0\0\0"
    shown = square.copy()
    shown[0, 0] = BACKGROUND  # masked
    raw = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 24, len(bitmap), 22) + bitmap
    yield Case("bmp_inside.ico", raw, "ICO", "RGBA", shown)
    cards = (("SIMPLE", "T"), ("BITPIX", "8"), ("NAXIS", "2"), ("NAXIS1", str(WIDTH)), ("NAXIS2", str(HEIGHT)))
    head = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards) + "END".ljust(80)
    # The rows of FITS stand upside down.
    raw = head.ljust(2880).encode() + gray_ramp()[::-1].tobytes().ljust(2880, b"\0")
    yield Case("gray.fits", raw, "FITS", "L", as_rgb(gray_ramp()))
    raw = struct.pack(">8I", 0x59A66A95, WIDTH, HEIGHT, 24, 0, 1, 0, 0) + ramp()[:, :, ::-1].tobytes()
    yield Case("rgb.ras", raw, "SUN", "RGB", ramp())
    yield Case("palette.xpm", _xpm(), "XPM", "P", QUARTERS)
    big = np.repeat(np.repeat(QUARTERS[5:7, 7:9], 64, axis=0), 64, axis=1)
    inner = saved(big, "PNG")
    raw = b"icns" + struct.pack(">I4sI", 16 + len(inner), b"ic07", 8 + len(inner)) + inner
    yield Case("png_inside.icns", raw, "ICNS", "RGBA", big)
    head_psd = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, HEIGHT, WIDTH, 8, 3) + bytes(12) + b"\0\0"
    planes = ramp().transpose(2, 0, 1).tobytes()
    yield Case("rgb.psd", head_psd + planes, "PSD", "RGB", ramp())


def _xpm() -> bytes:
    lines = [f"{WIDTH} {HEIGHT} 4 1", "a c #FF0000", "b c #00FF00", "c c #0000FF", "d c #FFFFFF"]
    lines += ["a" * 8 + "b" * 8] * 6 + ["c" * 8 + "d" * 8] * 6
    body = ",\n".join(f'"{line}"' for line in lines)
    return f"/* XPM */\nstatic char *x[] = {{\n{body}\n}};\n".encode()


def _refused() -> Iterator[Case]:
    yield Case("empty.jpg", b"", reason="zero_bytes")
    yield Case("page.jpg", b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n", reason="not_an_image")
    yield Case("zeros.png", bytes(512), reason="not_an_image")
    film = b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + bytes(64)
    yield Case("film.mp4", film, reason="unsupported_format")
    yield Case("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", reason="unsupported_format")
    yield Case("scan.pdf", b"%PDF-1.7\n" + bytes(64), reason="unsupported_format")
    yield Case("light.exr", b"\x76\x2f\x31\x01\2\0\0\0" + bytes(64), reason="unsupported_format")


def _orientations() -> Iterator[Case]:
    for kind, suffix, options, exact in (
        ("PNG", "png", {}, True),
        ("TIFF", "tif", {}, True),
        ("WEBP", "webp", {"lossless": True}, True),
        ("JPEG", "jpg", {"quality": 95, "subsampling": 0}, False),
        ("AVIF", "avif", {"quality": 90, "subsampling": "4:4:4"}, False),
    ):
        for orientation in range(1, 9):
            # What is stored is turned the other way; only the quarter turns differ from their opposites.
            stored = orient(QUARTERS, {6: 8, 8: 6}.get(orientation, orientation))
            raw = saved(stored, kind, exif=exif_block({0x0112: orientation}), **options)
            tolerance = 0 if exact else _LOSSY
            name = f"orientation{orientation}.{suffix}"
            yield Case(name, raw, kind, "RGB", QUARTERS, orientation=orientation, tolerance=tolerance)
