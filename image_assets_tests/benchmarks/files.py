"""Files for the benchmarks, made once from photographs and kept in a cache folder."""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SAMPLE_PHOTOS = Path(__file__).parents[2] / "data" / "photos"
CACHE = Path(tempfile.gettempdir()) / "image-assets-benchmarks"


def imagenet_like(count: int, photos: Path = SAMPLE_PHOTOS) -> Path:
    """Return a folder of ``count`` JPEGs of 500x375, about 110 kB each, cut from photographs; no two are equal."""
    folder = CACHE / f"imagenet-like-{photos.resolve().name}-{count}"
    if folder.exists():
        return folder
    sources = sorted(photos.rglob("*.jpg"))
    aside = folder.with_suffix(".partial")
    for number in range(count):
        draw = np.random.default_rng(number)
        with Image.open(sources[number % len(sources)]) as source:
            picture = ImageOps.fit(source.convert("RGB"), (560, 420), Image.Resampling.LANCZOS)
        left, top = int(draw.integers(0, 61)), int(draw.integers(0, 46))
        picture = picture.crop((left, top, left + 500, top + 375))
        # Grain brings the files to the size of camera pictures.
        grain = draw.normal(0, 6, (375, 500, 1))
        pixels = np.clip(np.asarray(picture, np.float32) + grain, 0, 255).astype(np.uint8)
        path = aside / f"{number % 10}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
        path.write_bytes(buffer.getvalue())
    aside.rename(folder)
    return folder


def large_originals(count: int, photos: Path = SAMPLE_PHOTOS) -> Path:
    """Return a folder of ``count`` JPEGs of 4000x3000 at quality 92, some megabytes each, as a camera writes them.

    Each is a mosaic of 20 photographs, twice as wide and high as it was pasted, with grain on top.
    """
    folder = CACHE / f"large-originals-{photos.resolve().name}-{count}"
    if folder.exists():
        return folder
    sources = sorted(photos.rglob("*.jpg"))
    aside = folder.with_suffix(".partial")
    for number in range(count):
        draw = np.random.default_rng(number)
        path = aside / f"{number % 4}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = _mosaic(sources, draw).resize((4000, 3000), Image.Resampling.BICUBIC)
        grain = draw.standard_normal((3000, 4000, 1), np.float32) * 4
        pixels = np.clip(np.asarray(whole, np.float32) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, "JPEG", quality=92)
    aside.rename(folder)
    return folder


def many_small(count: int) -> Path:
    """Return a folder of ``count`` JPEGs of 16x16, in folders of 1,000; no two are equal."""
    folder = CACHE / f"many-small-{count}"
    if folder.exists():
        return folder
    aside = folder.with_suffix(".partial")
    for number in range(count):
        path = aside / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        colour = (number % 256, number // 256 % 256, number // 65536 % 256)
        Image.new("RGB", (16, 16), colour).save(buffer, "JPEG", quality=95)
        path.write_bytes(buffer.getvalue() + number.to_bytes(8, "little"))
    aside.rename(folder)
    return folder


def _mosaic(sources: list[Path], draw: np.random.Generator) -> Image.Image:
    """Return 2000x1500 pixels: five photographs in each of four rows."""
    mosaic = Image.new("RGB", (2000, 1500))
    for place in range(20):
        with Image.open(sources[int(draw.integers(len(sources)))]) as source:
            tile = ImageOps.fit(source.convert("RGB"), (400, 375), Image.Resampling.LANCZOS)
        mosaic.paste(tile, (place % 5 * 400, place // 5 * 375))
    return mosaic
