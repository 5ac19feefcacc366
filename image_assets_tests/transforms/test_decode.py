"""Every kind of file, good, odd and bad: its pixels, facts and reasons."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from image_assets.core.errors import DecodeError
from image_assets.core.sample import REASONS
from image_assets.settings import Settings
from image_assets.transforms.base import Pixels
from image_assets.transforms.decode import decode
from image_assets.transforms.orientation import orient
from image_assets.transforms.pillow_decode import FORMATS
from image_assets_tests.transforms.pictures import (
    SRGB_BLUE,
    SRGB_GREEN,
    SRGB_RED,
    exif_block,
    file_of,
    gray_profile,
    photo,
    quadrants,
    rgb_profile,
    some_settings,
)

RGB = some_settings()
GRAY = some_settings(image={"mode": "L"})


def upright(raw: bytes, settings: Settings = RGB) -> Pixels:
    decoded = decode(raw, settings)
    return orient(decoded.pixels, decoded.turn)


def reason_for(raw: bytes, settings: Settings = RGB) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(raw, settings)
    assert caught.value.reason in REASONS
    # A detail with an address in it would make two runs differ.
    assert " at 0x" not in caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 20}, {"optimize": True}]
)
def test_plain_jpeg_gives_the_pixels_that_pillow_gives(options: dict[str, Any]) -> None:
    raw = file_of(photo(), "JPEG", **options)
    np.testing.assert_array_equal(upright(raw), np.asarray(Image.open(io.BytesIO(raw))))


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
    assert np.abs(upright(raw).astype(int) - quadrants()).mean() < 5
    assert decoded.facts.orientation == orientation
    # The facts are those of the file as stored.
    assert (decoded.facts.raw_width_px, decoded.facts.raw_height_px) == (stored.shape[1], stored.shape[0])


def test_orientation_is_the_one_pillow_applies() -> None:
    for orientation in range(1, 9):
        image = Image.fromarray(photo(30, 20))
        turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
        expected = image if orientation == 1 else image.transpose(Image.Transpose(turns[orientation]))
        np.testing.assert_array_equal(orient(photo(30, 20), orientation), np.asarray(expected))


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
    pixels = upright(file_of(image, kind))
    assert decode(file_of(image, kind), RGB).facts.raw_mode == "CMYK"
    for y, x in ((5, 5), (5, 60), (40, 5), (40, 60)):
        np.testing.assert_allclose(pixels[y, x], quadrants()[y, x], atol=12)


def test_jpeg_stored_as_rgb_keeps_its_colours() -> None:
    raw = file_of(quadrants(), "JPEG", keep_rgb=True, quality=95)
    np.testing.assert_allclose(upright(raw)[5, 5], (255, 0, 0), atol=3)


def test_lab_is_converted() -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    raw = file_of(ImageCms.applyTransform(Image.fromarray(quadrants()), to_lab), "TIFF")
    assert decode(raw, RGB).facts.raw_mode == "LAB"
    # 8 bits of LAB are too few to keep the purest colours.
    assert np.abs(upright(raw).astype(int) - quadrants()).max() <= 24


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


def test_a_profile_that_is_srgb_changes_no_pixel() -> None:
    profile = rgb_profile(SRGB_RED, SRGB_GREEN, SRGB_BLUE)
    plain, marked = file_of(photo(), "JPEG"), file_of(photo(), "JPEG", icc_profile=profile)
    # Gamma 2.2 is not quite sRGB, so this one is converted, and hardly anything changes.
    assert np.abs(upright(plain).astype(int) - upright(marked)).max() <= 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("profile", [b"no profile at all", gray_profile(2.2)], ids=["broken", "of another kind"])
def test_a_profile_that_does_not_fit_is_flagged_and_ignored(kind: str, profile: bytes) -> None:
    decoded = decode(file_of(photo(), kind, icc_profile=profile), RGB)
    np.testing.assert_array_equal(decoded.pixels, decode(file_of(photo(), kind), RGB).pixels)
    assert decoded.facts.flags == ("bad_icc",)


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.75, 0.9, 0.98])
def test_a_truncated_file_is_never_an_image(kind: str, share: float) -> None:
    raw = file_of(photo(200, 150), kind)
    assert reason_for(raw[: int(len(raw) * share)]) == "truncated"


@pytest.mark.parametrize("size_bytes", [3, 4, 20, 100, 300])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_cut_in_its_header_is_never_an_image(kind: str, size_bytes: int) -> None:
    assert reason_for(file_of(photo(200, 150), kind)[:size_bytes]) in ("truncated", "not_an_image", "corrupt")


def test_a_progressive_jpeg_without_its_last_scans_is_truncated() -> None:
    raw = file_of(photo(), "JPEG", progressive=True)
    assert reason_for(raw[: raw.rindex(b"\xff\xda")]) == "truncated"


def test_a_flipped_byte_in_png_is_corrupt() -> None:
    raw = bytearray(file_of(photo()))
    raw[len(raw) // 2] ^= 0xFF
    assert reason_for(bytes(raw)) == "corrupt"


def png_header(width_px: int, height_px: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100))
    chunks = (struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in (header, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "zero_bytes"),
        (b"P", "not_an_image"),
        (b"just some text in a file called photo.jpg\n" * 20, "not_an_image"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not_an_image"),
        (b'{"error": "not found"}', "not_an_image"),
        (bytes(10_000), "not_an_image"),
        (bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8)), "not_an_image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "unsupported_format"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(100), "unsupported_format"),
        (b"\x76\x2f\x31\x01\2\0\0\0" + bytes(100), "unsupported_format"),
        (b"%PDF-1.7\n" + bytes(100), "unsupported_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (png_header(50_000, 50_000), "bomb"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(17), "corrupt"),
        (b"\xff\xd8\xff\xe0", "truncated"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:16]),
)
def test_what_is_no_good_image_gets_its_reason(raw: bytes, reason: str) -> None:
    assert reason_for(raw) == reason


def test_a_jpeg_of_more_than_8_bits_is_not_decoded() -> None:
    raw = bytearray(file_of(photo(), "JPEG"))
    raw[raw.index(b"\xff\xc0") + 4] = 12
    assert reason_for(bytes(raw)) == "unsupported_format"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_limits_hold_to_the_pixel_and_the_byte(kind: str) -> None:
    raw = file_of(photo(101, 99), kind)
    assert reason_for(raw, some_settings(limits={"max_pixels": 101 * 99 - 1})) == "bomb"
    assert reason_for(raw, some_settings(limits={"max_file_bytes": len(raw) - 1})) == "too_large"
    enough = some_settings(limits={"max_pixels": 101 * 99, "max_file_bytes": len(raw)})
    assert decode(raw, enough).pixels.shape == (99, 101, 3)


def test_a_limit_above_pillows_own_is_kept_and_pillow_is_left_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    raw = file_of(Image.new("1", (20_000, 10_000)))
    assert (
        decode(raw, some_settings(limits={"max_pixels": 200_000_000}, image={"mode": "L"})).pixels.size == 200_000_000
    )
    assert reason_for(raw) == "bomb"
    assert before == Image.MAX_IMAGE_PIXELS


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
