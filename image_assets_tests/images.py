"""Small image files made on the spot, and settings for a folder of them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from image_assets.settings import Settings, make_settings


def image_bytes(number: int, *, size: tuple[int, int] = (40, 30), kind: str = "JPEG") -> bytes:
    """Return an image whose content depends on ``number`` alone; different numbers give different pixels."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).save(buffer, format=kind)
    return buffer.getvalue()


def write_image(folder: Path, name: str, number: int) -> Path:
    """Write an image file below a folder; the suffix decides the format."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"jpg": "JPEG", "png": "PNG", "gif": "GIF"}[path.suffix[1:]]
    path.write_bytes(image_bytes(number, kind=kind))
    return path


def write_images(folder: Path, count: int, *, first: int = 0) -> list[Path]:
    """Write ``count`` images in two labelled folders."""
    return [write_image(folder, f"{'ab'[number % 2]}/{number}.jpg", number) for number in range(first, first + count)]


def make_settings_for(folder: Path, **overrides: Any) -> Settings:
    """Return settings over ``folder/raw`` with the store in ``folder/store``: small, and in this process."""
    content = {
        "name": "tiny",
        "source": {"path": "raw"},
        "store": "store",
        "num_shards": 4,
        "image": {"width_px": 16, "height_px": 16},
        "features": {"extractor": "none"},
        "exports": [],
        "workers": 0,
    }
    return make_settings(content, base=folder, overrides=overrides)
