"""Judging a finished dataset."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from image_assets_tests.benchmarks.peers.outputs import OutputImage
from image_assets_tests.benchmarks.peers.verify import WrongOutputError, verify
from image_assets_tests.images import write_image, write_images

Rows = list[OutputImage]

WRONG: dict[str, Callable[[Rows], Rows]] = {
    "5 images with 5 keys": lambda rows: rows[1:],
    "7 images with 6 keys": lambda rows: [*rows, rows[0]],
    "has the label": lambda rows: [replace(rows[0], label="c"), *rows[1:]],
    "is 112x224": lambda rows: [replace(rows[0], jpeg=jpeg(Image.new("RGB", (112, 224)))), *rows[1:]],
    "does not decode": lambda rows: [replace(rows[0], jpeg=rows[0].jpeg[:-500]), *rows[1:]],
    "no hash": lambda rows: [replace(row, sha256="0" * 64) for row in rows],
}


def test_a_complete_output_passes(tmp_path: Path) -> None:
    verdict = verify(make_rows(tmp_path), tmp_path)
    assert verdict.stale_images == 0
    assert verdict.psnr_db > 30


def test_an_image_of_older_bytes_is_stale(tmp_path: Path) -> None:
    rows = make_rows(tmp_path)
    write_image(tmp_path, "a/0.jpg", 99)
    assert verify(rows, tmp_path).stale_images == 1


def test_other_pixels_cost_psnr(tmp_path: Path) -> None:
    rows = make_rows(tmp_path)
    shuffled = [replace(row, jpeg=rows[index - 1].jpeg) for index, row in enumerate(rows)]
    assert verify(shuffled, tmp_path).psnr_db < 20


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_output_is_refused(message: str, tmp_path: Path) -> None:
    rows = WRONG[message](make_rows(tmp_path))
    with pytest.raises(WrongOutputError, match=message):
        verify(rows, tmp_path)


def make_rows(folder: Path) -> Rows:
    """Write six raw images and return the rows that a tool should make of them."""
    rows = []
    for path in write_images(folder, 6):
        with Image.open(path) as image:
            fitted = ImageOps.fit(image, (224, 224), Image.Resampling.LANCZOS)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(OutputImage(path.relative_to(folder).as_posix(), path.parent.name, sha256, jpeg(fitted)))
    return rows


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    return buffer.getvalue()
