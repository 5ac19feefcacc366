"""Write the golden files and what they must become: ``python -m image_assets_tests.golden.make_golden``.

What is expected comes from how each file is made, never from the decoder that is tested with it.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from image_assets.transforms.base import Pixels
from image_assets_tests.golden.bmp_files import bmp_cases
from image_assets_tests.golden.case import Case, luma
from image_assets_tests.golden.frame_files import FramesCase, frames_cases
from image_assets_tests.golden.jpeg_files import jpeg_cases
from image_assets_tests.golden.other_files import other_cases
from image_assets_tests.golden.png_files import png_cases
from image_assets_tests.golden.tiff_files import tiff_cases

FOLDER = Path(__file__).parent


def write_golden(folder: Path) -> None:
    """Write all files into ``folder/files`` and ``folder/frames``, and the tables of what they must become."""
    (folder / "files").mkdir(exist_ok=True)
    expected = {}
    for case in all_cases():
        (folder / "files" / case.name).write_bytes(case.raw)
        expected[case.name] = expectation(case)
    _write_table(folder / "expected.json", expected)
    (folder / "frames").mkdir(exist_ok=True)
    expected = {}
    for frames in frames_cases():
        (folder / "frames" / frames.name).write_bytes(frames.raw)
        expected[frames.name] = frames_expectation(frames)
    _write_table(folder / "expected_frames.json", expected)


def all_cases() -> Iterator[Case]:
    """Yield all golden files."""
    return chain(png_cases(), jpeg_cases(), tiff_cases(), bmp_cases(), other_cases())


def expectation(case: Case) -> dict[str, Any]:
    """Return one entry of ``expected.json``."""
    if case.pixels is None:
        return {"reason": case.reason}
    pixels = {"RGB": case.pixels, "L": luma(case.pixels)}
    described = quarter_means if case.tolerance else pixel_hash
    return {
        "format": case.format,
        "raw_mode": case.mode,
        "flags": list(case.flags),
        "orientation": case.orientation,
        "tolerance": case.tolerance,
        "pixels": {mode: described(each) for mode, each in pixels.items()},
    }


def frames_expectation(case: FramesCase) -> dict[str, Any]:
    """Return one entry of ``expected_frames.json``."""
    described = quarter_means if case.tolerance else pixel_hash
    frames = {
        "RGB": [described(pixels) for pixels in case.frames],
        "L": [described(luma(pixels)) for pixels in case.frames],
    }
    return {"tolerance": case.tolerance, "frames": frames}


def pixel_hash(pixels: Pixels) -> str:
    """Return a digest of shape and pixels."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def quarter_means(pixels: Pixels) -> list[list[float]]:
    """Return the mean colour of each quarter: top left, top right, bottom left, bottom right."""
    y, x = pixels.shape[0] // 2, pixels.shape[1] // 2
    parts = (pixels[:y, :x], pixels[:y, x:], pixels[y:, :x], pixels[y:, x:])
    return [[round(float(mean), 1) for mean in part.mean(axis=(0, 1))] for part in parts]


def _write_table(path: Path, expected: dict[str, Any]) -> None:
    path.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden(FOLDER)
