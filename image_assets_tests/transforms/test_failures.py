"""Every kind of bad file gets its reason, and limits hold."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from image_assets.core.errors import DecodeError
from image_assets.core.sample import REASONS
from image_assets.settings import Settings
from image_assets.transforms.decode import decode
from image_assets_tests.transforms.pictures import (
    file_of,
    photo,
    some_settings,
)

RGB = some_settings()


def reason_for(raw: bytes, settings: Settings = RGB) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(raw, settings)
    assert caught.value.reason in REASONS
    # A detail with an address in it would make two runs differ.
    assert " at 0x" not in caught.value.detail
    return caught.value.reason


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
