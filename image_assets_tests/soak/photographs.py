"""Small real photographs that all differ: parts of the sample photographs, cut out anywhere and encoded again."""

import io
import os
import random
from functools import cache
from pathlib import Path

from PIL import Image

from image_assets_tests.end_to_end.dagster_dev import ROOT

LABELS = ("dress", "outwear", "pants", "shirt", "shoes", "shorts")
_SMALLEST_PX, _LARGEST_PX = 60, 160


def photograph(number: int) -> bytes:
    """Return a JPEG that depends on ``number`` alone; different numbers give different bytes and pixels."""
    chosen = random.Random(f"photograph {number}")
    whole = _decoded(chosen.randrange(len(_files())))
    width, height = (chosen.randint(_SMALLEST_PX, _LARGEST_PX) for _ in "xy")
    left, top = chosen.randint(0, whole.width - width), chosen.randint(0, whole.height - height)
    part = whole.crop((left, top, left + width, top + height))
    buffer = io.BytesIO()
    # The number goes into the file too: two cuts could be the same.
    part.save(buffer, "JPEG", quality=chosen.randint(70, 95), comment=f"photograph {number}")
    return buffer.getvalue()


def odd_file(number: int) -> bytes:
    """Return what is no good image, or an odd one, and depends on ``number`` alone."""
    whole = photograph(number)
    kinds = (
        whole[: len(whole) // 2],  # broken off
        f"no image at all {number}".encode(),
        b"\xff\xd8" + number.to_bytes(8, "big"),
        _odd_png(number),
    )
    return kinds[number % len(kinds)]


def put(folder: Path, key: str, data: bytes) -> None:
    """Put a file into a folder whole, as a copying program that knows its trade does."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.part")
    hidden.write_bytes(data)
    os.replace(hidden, path)  # noqa: PTH105


def fill(folder: Path, count: int) -> None:
    """Write ``count`` files in labelled folders: every fortieth is odd, every fiftieth a copy of the one before."""
    for number in range(count):
        original = number - 1 if number % 50 == 49 else number
        data = odd_file(original) if original % 40 == 39 else photograph(original)
        put(folder, f"{LABELS[number % len(LABELS)]}/{number}.jpg", data)


def _odd_png(number: int) -> bytes:
    """Return a good PNG under the name of a JPEG, with transparency and an odd size."""
    buffer = io.BytesIO()
    Image.new("RGBA", (3, 97), (number % 256, number // 256 % 256, 7, 128)).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def _files() -> list[Path]:
    return sorted((ROOT / "data/photos").glob("*/*.jpg"))


@cache
def _decoded(position: int) -> Image.Image:
    with Image.open(_files()[position]) as image:
        return image.convert("RGB")
