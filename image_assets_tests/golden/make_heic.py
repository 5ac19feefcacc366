"""Write the golden HEIC files: ``python -m image_assets_tests.golden.make_heic``.

Needs `pillow-heif`, which holds an encoder under the GPL and is therefore no dependency of this project, not even of
its tests: install it beside the project in an environment of its own. Other versions of the encoder give other bytes;
what the files must become is in ``test_heic.py``, known from what is written here.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from image_assets_tests.transforms.pictures import (
    SRGB_BLUE,
    SRGB_GREEN,
    SRGB_RED,
    exif_block,
    photo,
    quadrants,
    rgb_profile,
)

FOLDER = Path(__file__).parent / "heic"
# RGB as it is, without a way over luma and chroma.
_LOSSLESS: dict[str, Any] = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
_ORIENTATION = 0x0112


def write_heic(folder: Path) -> None:
    """Write all files."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    folder.mkdir(exist_ok=True)
    files = _plain() | _turned() | _colours(pillow_heif)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)


def _plain() -> dict[str, bytes]:
    quarters = quadrants()
    alpha = np.full(quarters.shape[:2], 255, np.uint8)
    alpha[:, 32:] = 0
    lossless = _saved(quarters, **_LOSSLESS)
    others = [Image.fromarray(255 - quarters), Image.fromarray(quarters[::-1].copy())]
    return {
        "lossless.heic": lossless,
        "lossy.heic": _saved(quarters, quality=90),
        "gray.heic": _saved(quarters[:, :, 0].copy(), quality=-1),
        "alpha.heic": _saved(np.dstack([quarters, alpha]), **_LOSSLESS),
        "second_is_primary.heic": _saved(quarters, save_all=True, append_images=others, primary_index=1, **_LOSSLESS),
        "film.heics": lossless.replace(b"ftypheix", b"ftyphevc", 1),
        "photo.heic": _saved(photo(192, 128), quality=80),
    }


def _turned() -> dict[str, bytes]:
    """Return files with an orientation in boxes and EXIF, as telephones write them, and one with EXIF alone."""
    files = {}
    for orientation in range(1, 9):
        exif = exif_block({_ORIENTATION: orientation, 0x0110: "phone"}).tobytes()
        files[f"orientation{orientation}.heic"] = _saved(quadrants(), exif=exif, **_LOSSLESS)
    upright, turned = (exif_block({_ORIENTATION: value}).tobytes() for value in (1, 6))
    raw = _saved(quadrants(), exif=upright, **_LOSSLESS)
    at = raw.index(upright[6:])
    files["exif_alone.heic"] = raw[:at] + turned[6:] + raw[at + len(turned) - 6 :]
    return files


def _colours(pillow_heif: Any) -> dict[str, bytes]:
    swapped = rgb_profile(SRGB_GREEN, SRGB_RED, SRGB_BLUE)
    deep = np.repeat(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64, 1) * 21, 3, axis=2)
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (64, 48), deep.tobytes()).save(buffer, **_LOSSLESS)
    bt709 = {"quality": 95, "chroma": 444, "matrix_coefficients": 1}
    return {
        "ten_bits.heic": buffer.getvalue(),
        "profile.heic": _saved(quadrants(), icc_profile=swapped, **_LOSSLESS),
        "bt709.heic": _saved(quadrants(), **bt709),
        "narrow_range.heic": _saved(quadrants(), full_range_flag=0, **bt709),
    }


def _saved(pixels: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="HEIF", **options)
    return buffer.getvalue()


if __name__ == "__main__":
    write_heic(FOLDER)
