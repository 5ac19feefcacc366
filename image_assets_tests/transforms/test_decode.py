"""Every kind of good file: its pixels, its facts, and how much of it is decoded."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_assets.core.errors import DecodeError
from image_assets.settings import Settings
from image_assets.transforms.decode import decode
from image_assets.transforms.orientation import orient
from image_assets.transforms.pillow_decode import FORMATS
from image_assets_tests.transforms.pictures import (
    exif_block,
    file_of,
    photo,
    quadrants,
    some_settings,
    upright,
)

RGB = some_settings()
GRAY = some_settings(image={"mode": "L"})


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 20}, {"optimize": True}]
)
def test_plain_jpeg_gives_the_pixels_that_pillow_gives(options: dict[str, Any]) -> None:
    raw = file_of(photo(), "JPEG", **options)
    np.testing.assert_array_equal(upright(raw, RGB), np.asarray(Image.open(io.BytesIO(raw))))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP", "PPM", "TGA", "JPEG2000", "QOI", "GIF", "ICO", "AVIF"])
@pytest.mark.parametrize("settings", [RGB, GRAY], ids=["rgb", "gray"])
def test_every_common_format_is_decoded(kind: str, settings: Settings) -> None:
    pixels = photo(64, 64)
    decoded = decode(file_of(pixels, kind), settings)
    expected = pixels if settings is RGB else np.asarray(Image.fromarray(pixels).convert("L"))[:, :, np.newaxis]
    assert decoded.facts.raw_format == kind
    assert (decoded.facts.raw_width_px, decoded.facts.raw_height_px) == (64, 64)
    assert decoded.pixels.shape == expected.shape
    # GIF, AVIF and WebP lose some.
    assert np.abs(decoded.pixels.astype(int) - expected).mean() < 12


def test_every_format_that_may_be_decoded_is_one_that_pillow_has() -> None:
    Image.init()
    assert set(FORMATS) <= set(Image.OPEN)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(kind: str, orientation: int) -> None:
    stored = np.ascontiguousarray(orient(quadrants(), {6: 8, 8: 6}.get(orientation, orientation)))
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    raw = file_of(stored, kind, exif=exif_block({0x0112: orientation}), **options)
    decoded = decode(raw, RGB)
    assert np.abs(upright(raw, RGB).astype(int) - quadrants()).mean() < 5
    assert decoded.facts.orientation == orientation
    # The facts are those of the file as stored.
    assert (decoded.facts.raw_width_px, decoded.facts.raw_height_px) == (stored.shape[1], stored.shape[0])


def test_orientation_is_the_one_pillow_applies() -> None:
    for orientation in range(1, 9):
        image = Image.fromarray(photo(30, 20))
        turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
        expected = image if orientation == 1 else image.transpose(Image.Transpose(turns[orientation]))
        np.testing.assert_array_equal(orient(photo(30, 20), orientation), np.asarray(expected))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_used(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    options = {} if kind == "TIFF" else {"duration": 100}
    decoded = decode(file_of(frames[0], kind, save_all=True, append_images=frames[1:], **options), RGB)
    np.testing.assert_allclose(decoded.pixels[8, 8], (255, 0, 0), atol=6)
    assert decoded.facts.flags == ("animated",)


def test_a_sloppy_jpeg_is_decoded_and_flagged() -> None:
    raw = file_of(photo(), "JPEG")
    scan = raw.index(b"\xff\xda")
    # Bytes between two segments: strict decoding objects, and every pixel is there.
    decoded = decode(raw[:scan] + b"\0\0\0" + raw[scan:], RGB)
    np.testing.assert_array_equal(decoded.pixels, decode(raw, RGB).pixels)
    assert decoded.facts.flags == ("lenient_decode",)


def test_a_jpeg_with_a_thumbnail_behind_it_is_one_jpeg() -> None:
    raw = file_of(photo(), "JPEG")
    decoded = decode(file_of(photo(), "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))]), RGB)
    np.testing.assert_array_equal(decoded.pixels, decode(raw, RGB).pixels)
    assert (decoded.facts.raw_format, decoded.facts.flags) == ("JPEG", ())


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_larger_than_anyone_needs_is_decoded_smaller(orientation: int) -> None:
    raw = file_of(photo(1601, 1203), "JPEG", quality=95, exif=exif_block({0x0112: orientation}))
    enough_px = (300, 400) if orientation == 6 else (400, 300)
    decoded = decode(raw, RGB, enough_px=enough_px)
    assert decoded.pixels.shape == (301, 401, 3)
    assert (decoded.facts.raw_width_px, decoded.facts.raw_height_px) == (1601, 1203)
    whole = Image.open(io.BytesIO(raw)).resize((401, 301), Image.Resampling.BOX)
    assert np.abs(decoded.pixels.astype(int) - np.asarray(whole)).mean() < 2


@pytest.mark.parametrize("enough_px", [(401, 302), (402, 301), (1601, 1203), (5000, 5000)])
def test_no_side_gets_smaller_than_enough(enough_px: tuple[int, int]) -> None:
    height, width, _ = decode(file_of(photo(1601, 1203), "JPEG"), RGB, enough_px=enough_px).pixels.shape
    assert width >= min(enough_px[0], 1601)
    assert height >= min(enough_px[1], 1203)


def test_a_truncated_jpeg_is_noticed_at_every_size() -> None:
    raw = file_of(photo(1600, 1200), "JPEG")
    with pytest.raises(DecodeError, match="truncated"):
        decode(raw[: len(raw) * 9 // 10], RGB, enough_px=(200, 150))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_gray_files_become_colour_when_asked(kind: str) -> None:
    pixels = photo(40, 30, channels=1)
    decoded = decode(file_of(pixels[:, :, 0], kind, **({"quality": 100} if kind == "JPEG" else {})), RGB)
    assert decoded.pixels.shape == (30, 40, 3)
    assert np.abs(decoded.pixels.astype(int) - pixels).max() <= 3
    assert decoded.facts.raw_mode == "L"


def test_a_jpeg_above_the_pixel_limit_is_decoded_as_long_as_it_is_decoded_smaller() -> None:
    raw = file_of(photo(1600, 1200), "JPEG")
    limited = some_settings(limits={"max_pixels": 400 * 300})
    assert decode(raw, limited, enough_px=(400, 300)).pixels.shape[:2] == (300, 400)
    with pytest.raises(DecodeError, match="declares 800 x 600"):
        decode(raw, limited, enough_px=(401, 300))
    with pytest.raises(DecodeError, match="declares 1600 x 1200"):
        decode(raw, limited)
