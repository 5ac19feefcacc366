"""Pixels that look like photos, files in every odd form, and a colour profile: all made on the spot."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from image_assets.settings import Settings, make_settings
from image_assets.transforms.base import Pixels
from image_assets.transforms.decode import decode
from image_assets.transforms.orientation import orient

# CIE XYZ (D50) of the sRGB primaries.
SRGB_RED, SRGB_GREEN, SRGB_BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7142)


def some_settings(**overrides: Any) -> Settings:
    """Return settings whose folders do not matter; keyword arguments are nested like the YAML file."""
    content = {"name": "pictures", "source": {"path": "raw"}, "store": "store"}
    return make_settings(content, base=Path(), overrides=overrides)


def photo(width: int = 320, height: int = 240, *, channels: int = 3, seed: int = 0) -> Pixels:
    """Return noise of every scale, the coarser the stronger, and coarse in colour, as photos have it."""
    rng = np.random.default_rng(seed)

    def noise(size: int) -> NDArray[Any]:
        image = Image.fromarray(rng.standard_normal((size, size)).astype(np.float32))
        resized: NDArray[Any] = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
        scaled: NDArray[Any] = resized * (90 / size**0.5)
        return scaled

    light = sum(noise(size) for size in (2, 4, 8, 16, 32, 64, 128))
    total = [light + 0.5 * (noise(3) + noise(9)) for _ in range(channels)]
    pixels: Pixels = np.clip(np.stack(total, axis=2) + 128, 0, 255).astype(np.uint8)
    return pixels


def quadrants(width: int = 64, height: int = 48) -> Pixels:
    """Return red, green, blue and white quarters: every orientation of it looks different."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = (255, 255, 255)
    return pixels


def file_of(image: Image.Image | NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format=kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Pixels:
    """Return the pixels of an output, as stored."""
    return np.asarray(Image.open(io.BytesIO(data)))


def upright(raw: bytes, settings: Settings) -> Pixels:
    """Return a file's pixels as the decoder and its orientation give them."""
    decoded = decode(raw, settings)
    return orient(decoded.pixels, decoded.turn)


def exif_block(
    tags: dict[int, Any], gps: dict[int, Any] | None = None, sub: dict[int, Any] | None = None
) -> Image.Exif:
    """Return EXIF with main fields, GPS fields and fields of the photo folder."""
    exif = Image.Exif()
    exif.update(tags)
    if gps is not None:
        exif.get_ifd(0x8825).update(gps)
    if sub is not None:
        exif.get_ifd(0x8769).update(sub)
    return exif


def rgb_profile(red: tuple[float, ...], green: tuple[float, ...], blue: tuple[float, ...], gamma: float = 2.2) -> bytes:
    """Return an ICC profile of these primaries."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    colours = {b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue)}
    return _profile(b"RGB ", {**colours, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def gray_profile(gamma: float) -> bytes:
    """Return an ICC profile for gray images."""
    return _profile(b"GRAY", {b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)})


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79), **tags}
    tags[b"wtpt"] = _xyz((0.9642, 1.0, 0.8249))
    table, data = b"", b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(
        ">I4sI4s4s4s12s4s", 128 + len(body), bytes(4), 0x02100000, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    return head + bytes(28) + struct.pack(">iii", 63190, 65536, 54061) + bytes(128 - len(head) - 40) + body


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(value * 65536) for value in values))
