"""Depth, palette, alpha, CMYK and colour profiles: every file ends as opaque 8-bit sRGB."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from image_assets.settings import Settings
from image_assets.transforms.decode import decode
from image_assets.transforms.jpeg_header import read_jpeg_header
from image_assets_tests.transforms.pictures import (
    SRGB_BLUE,
    SRGB_GREEN,
    SRGB_RED,
    file_of,
    gray_profile,
    photo,
    quadrants,
    rgb_profile,
    some_settings,
    upright,
)

RGB = some_settings()
GRAY = some_settings(image={"mode": "L"})


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_scaled_and_not_clipped(kind: str) -> None:
    values = np.linspace(0, 65535, 256 * 4).reshape(4, 256).astype(np.uint16)
    pixels = upright(file_of(values, kind), GRAY)[:, :, 0]
    np.testing.assert_array_equal(pixels, np.rint(values / 257).astype(np.uint8))


def test_16_bits_in_portable_graymap_are_scaled_even_when_dark() -> None:
    values = np.arange(0, 200, dtype=">u2")
    assert upright(b"P5 200 1 65535\n" + values.tobytes(), GRAY).max() == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 1e6, 2e6], [0, 128, 255]),
        ([np.nan, 1.0, np.inf], [0, 255, 255]),
        ([7.0, 7.0, 7.0], [7, 7, 7]),
    ],
)
def test_floats_are_scaled_by_the_range_they_hold(values: list[float], expected: list[int]) -> None:
    raw = file_of(np.array([values], np.float32), "TIFF")
    assert upright(raw, GRAY)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(("values", "expected"), [([0, 100, 255], [0, 100, 255]), ([-10, 0, 10], [0, 128, 255])])
def test_32_bit_integers_are_scaled_by_the_range_they_hold(values: list[int], expected: list[int]) -> None:
    assert upright(file_of(np.array([values], np.int32), "TIFF"), GRAY)[0, :, 0].tolist() == expected


def test_alpha_is_matted_over_the_background() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0], rgba[0, :, 3] = 255, (255, 128, 0)
    settings = some_settings(image={"background": [0, 100, 200]})
    pixels = upright(file_of(rgba), settings)[0]
    np.testing.assert_allclose(pixels, [(255, 0, 0), (128, 50, 100), (0, 100, 200)], atol=1)


def transparent_palette() -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    return file_of(image, transparency=1)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (transparent_palette(), [(255, 0, 0), (0, 0, 255)]),
        (file_of(Image.frombytes("LA", (2, 1), bytes([90, 255, 90, 0]))), [(90, 90, 90), (0, 0, 255)]),
        (file_of(Image.frombytes("L", (2, 1), bytes([90, 91])), transparency=91), [(90, 90, 90), (0, 0, 255)]),
        (
            file_of(Image.frombytes("RGB", (2, 1), bytes([1, 2, 3, 4, 5, 6])), transparency=(4, 5, 6)),
            [(1, 2, 3), (0, 0, 255)],
        ),
        (
            file_of(Image.fromarray(np.array([[257 * 9, 257 * 8]], np.uint16)), transparency=257 * 8),
            [(9, 9, 9), (0, 0, 255)],
        ),
    ],
    ids=["palette", "gray with alpha", "gray with one value", "colour with one value", "16 bits with one value"],
)
def test_transparency_of_every_kind_shows_the_background(raw: bytes, expected: list[tuple[int, ...]]) -> None:
    pixels = upright(raw, some_settings(image={"background": [0, 0, 255]}))
    assert [tuple(pixel) for pixel in pixels[0].tolist()] == expected


def test_a_large_transparent_image_is_matted_in_every_strip() -> None:
    rgba = np.dstack([photo(1300, 1000), np.zeros((1000, 1300), np.uint8)])
    assert (upright(file_of(rgba, compress_level=1), some_settings(image={"background": [9, 8, 7]})) == (9, 8, 7)).all()


@pytest.mark.parametrize("settings", [RGB, GRAY], ids=["rgb", "gray"])
def test_one_bit_images_are_black_and_white(settings: Settings) -> None:
    image = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    assert upright(file_of(image), settings)[:, :, 0].tolist() == [[0, 255], [255, 0]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_its_colours_and_not_their_negative(kind: str) -> None:
    image = Image.fromarray(quadrants()).convert("CMYK")
    pixels = upright(file_of(image, kind), RGB)
    assert decode(file_of(image, kind), RGB).facts.raw_mode == "CMYK"
    for y, x in ((5, 5), (5, 60), (40, 5), (40, 60)):
        np.testing.assert_allclose(pixels[y, x], quadrants()[y, x], atol=12)


def test_jpeg_stored_as_rgb_keeps_its_colours() -> None:
    raw = file_of(quadrants(), "JPEG", keep_rgb=True, quality=95)
    np.testing.assert_allclose(upright(raw, RGB)[5, 5], (255, 0, 0), atol=3)


def test_lab_is_converted() -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    image = to_lab.apply(Image.fromarray(quadrants()))
    del image.info["icc_profile"]
    raw = file_of(image, "TIFF")
    assert decode(raw, RGB).facts.raw_mode == "LAB"
    assert upright(raw, GRAY).shape == (48, 64, 1)
    # 8 bits of LAB are too few to keep the purest colours.
    assert np.abs(upright(raw, RGB).astype(int) - quadrants()).max() <= 24


# Red and green have changed places in this profile: whoever ignores it sees the wrong one.
SWAPPED = rgb_profile(SRGB_GREEN, SRGB_RED, SRGB_BLUE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_colour_profile_is_converted_to_srgb(kind: str) -> None:
    red = np.full((16, 16, 3), (255, 0, 0), np.uint8)
    decoded = decode(file_of(red, kind, icc_profile=SWAPPED), RGB)
    np.testing.assert_allclose(decoded.pixels[8, 8], (0, 255, 0), atol=8)
    assert decoded.facts.flags == ()


def test_a_colour_profile_comes_before_the_luma() -> None:
    red = np.full((16, 16, 3), (255, 0, 0), np.uint8)
    for kind in ("JPEG", "PNG"):
        pixels = upright(file_of(red, kind, icc_profile=SWAPPED), GRAY)
        assert abs(int(pixels[8, 8, 0]) - 150) < 6  # the luma of green; of red it is 76


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("settings", [RGB, GRAY], ids=["rgb", "gray"])
def test_a_gray_profile_is_converted_to_srgb(kind: str, settings: Settings) -> None:
    dark = np.full((16, 16), 55, np.uint8)
    pixels = upright(file_of(dark, kind, icc_profile=gray_profile(1.0)), settings)
    assert abs(int(pixels[8, 8, 0]) - 128) < 4  # 55 of linear light


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_gray_file_may_carry_a_profile_for_colour(kind: str) -> None:
    dark = np.full((16, 16), 55, np.uint8)
    linear = rgb_profile(SRGB_RED, SRGB_GREEN, SRGB_BLUE, gamma=1.0)
    decoded = decode(file_of(dark, kind, icc_profile=linear), GRAY)
    assert abs(int(decoded.pixels[8, 8, 0]) - 128) < 4
    assert decoded.facts.flags == ()


def test_a_profile_in_several_segments_is_put_together() -> None:
    # The parts stand in the wrong order, as some editors leave them.
    parts = [b"ICC_PROFILE\0" + bytes([number, 2]) + SWAPPED[start::][:200] for number, start in ((2, 200), (1, 0))]
    segments = b"".join(b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part for part in parts)
    raw = file_of(photo(), "JPEG")
    assert read_jpeg_header(raw[:2] + segments + raw[2:]).profile == SWAPPED[:400]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_profile_that_is_srgb_changes_no_pixel(kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, marked = file_of(photo(), kind), file_of(photo(), kind, icc_profile=profile)
    np.testing.assert_array_equal(upright(plain, RGB), upright(marked, RGB))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("profile", [b"no profile at all", gray_profile(2.2)], ids=["broken", "of another kind"])
def test_a_profile_that_does_not_fit_is_flagged_and_ignored(kind: str, profile: bytes) -> None:
    decoded = decode(file_of(photo(), kind, icc_profile=profile), RGB)
    np.testing.assert_array_equal(decoded.pixels, decode(file_of(photo(), kind), RGB).pixels)
    assert decoded.facts.flags == ("bad_icc",)
