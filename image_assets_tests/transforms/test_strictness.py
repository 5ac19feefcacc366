"""No file of which a part of the picture is missing becomes an image, and none costs more than its size allows."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_assets.core.errors import DecodeError
from image_assets.transforms.base import Decoded
from image_assets.transforms.decode import decode
from image_assets.transforms.jpeg_header import count_scans, read_jpeg_header
from image_assets_tests.golden.bmp_files import bmp
from image_assets_tests.golden.jpeg_files import segment
from image_assets_tests.golden.png_files import SIGNATURE, chunk, interlaced_rows, png, rows_of
from image_assets_tests.golden.tiff_files import tiff
from image_assets_tests.transforms.pictures import exif_block, file_of, photo, some_settings

RGB = some_settings()
PHOTO = Image.fromarray(photo(64, 48))
FEW = PHOTO.quantize(64)
GRAY = PHOTO.convert("L")
INKS = PHOTO.convert("CMYK")
BITS = GRAY.convert("1")
CLEAR = PHOTO.convert("RGBA")
TWICE: dict[str, Any] = {"save_all": True, "append_images": [Image.fromarray(photo(64, 48, seed=2))]}
SHORT: dict[str, Any] = {**TWICE, "duration": 100}

# Each cut is refused.
WHOLE = [
    ("baseline JPEG", PHOTO, "JPEG", {}),
    ("progressive JPEG", PHOTO, "JPEG", {"progressive": True}),
    ("gray JPEG", GRAY, "JPEG", {}),
    ("JPEG of four inks", INKS, "JPEG", {}),
    ("PNG", PHOTO, "PNG", {}),
    ("PNG with palette", FEW, "PNG", {}),
    ("1-bit PNG", BITS, "PNG", {}),
    ("black PNG", Image.new("RGB", (64, 48)), "PNG", {}),
    ("animated PNG", PHOTO, "PNG", SHORT),
    ("GIF", FEW, "GIF", {}),
    ("lossy WebP", PHOTO, "WEBP", {}),
    ("lossless WebP", PHOTO, "WEBP", {"lossless": True}),
    ("WebP with alpha", CLEAR, "WEBP", {}),
    ("animated WebP", PHOTO, "WEBP", SHORT),
    ("AVIF", PHOTO, "AVIF", {}),
    ("TIFF", PHOTO, "TIFF", {}),
    *((f"TIFF, {name}", PHOTO, "TIFF", {"compression": name})
      for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma")),
    *((f"TIFF, {name}", BITS, "TIFF", {"compression": name}) for name in ("group3", "group4", "tiff_ccitt")),
    ("BMP", PHOTO, "BMP", {}),
    ("BMP with palette", FEW, "BMP", {}),
    ("1-bit BMP", BITS, "BMP", {}),
    ("ICO of PNG", PHOTO, "ICO", {}),
    ("ICO of BMP", PHOTO, "ICO", {"bitmap_format": "bmp", "sizes": [(32, 32)]}),
    ("PPM", PHOTO, "PPM", {}),
    ("PGM", GRAY, "PPM", {}),
    ("PBM", BITS, "PPM", {}),
    ("TGA", PHOTO, "TGA", {}),
    ("TGA of runs", PHOTO, "TGA", {"compression": "tga_rle"}),
    ("JPEG 2000", PHOTO, "JPEG2000", {}),
    ("lossy JPEG 2000", PHOTO, "JPEG2000",
     {"irreversible": True, "quality_mode": "rates", "quality_layers": [20, 5]}),
    ("JPEG 2000 without boxes", PHOTO, "JPEG2000", {"no_jp2": True}),
    ("PCX", PHOTO, "PCX", {}),
    ("PCX with palette", FEW, "PCX", {}),
    ("SGI", PHOTO, "SGI", {}),
    ("DDS", PHOTO, "DDS", {}),
    ("QOI", PHOTO, "QOI", {}),
    ("XBM", BITS, "XBM", {}),
]  # fmt: skip
# A cut behind the first frame takes nothing away that is used: the pixels are those of the whole file.
FIRST_IS_ENOUGH = [
    ("animated GIF", FEW, "GIF", SHORT),
    ("JPEG with a second picture", PHOTO, "MPO", TWICE),
]


def reason_for(raw: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(raw, RGB)
    return caught.value.reason


def decoded_or_none(raw: bytes) -> Decoded | None:
    try:
        return decode(raw, RGB)
    except DecodeError:
        return None


def cuts(raw: bytes) -> list[int]:
    return [len(raw) * percent // 100 for percent in range(100)]


@pytest.mark.parametrize(("image", "kind", "options"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_no_cut_file_is_an_image(image: Image.Image, kind: str, options: dict[str, Any]) -> None:
    raw = file_of(image, kind, **options)
    whole = decode(raw, RGB).pixels
    assert [cut for cut in cuts(raw) if decoded_or_none(raw[:cut]) is not None] == []
    # The very last byte belongs to a mark or a footer in some formats, and no pixel hangs on it.
    almost = decoded_or_none(raw[:-1])
    assert almost is None or np.array_equal(almost.pixels, whole)


@pytest.mark.parametrize(
    ("image", "kind", "options"), [row[1:] for row in FIRST_IS_ENOUGH], ids=[row[0] for row in FIRST_IS_ENOUGH]
)
def test_a_cut_behind_the_first_frame_changes_no_pixel(image: Image.Image, kind: str, options: dict[str, Any]) -> None:
    raw = file_of(image, kind, **options)
    whole = decode(raw, RGB).pixels
    taken = [found.pixels for cut in cuts(raw) if (found := decoded_or_none(raw[:cut])) is not None]
    assert 0 < len(taken) < 70
    assert all(np.array_equal(pixels, whole) for pixels in taken)


# (what, colours of the rows): in the black ones Pillow's own blank rows cannot be told from those of the file.
@pytest.mark.parametrize("rows", [rows_of(np.full((12, 16, 3), 77, np.uint8)), [bytes(48)] * 12], ids=["gray", "black"])
@pytest.mark.parametrize("missing", [1, 5, 11, 12])
def test_a_png_whose_compressed_rows_end_cleanly_but_early_is_truncated(rows: list[bytes], missing: int) -> None:
    assert decode(png((8, 2), rows), RGB).pixels.shape == (12, 16, 3)
    assert reason_for(png((8, 2), rows[: 12 - missing])) == "truncated"


@pytest.mark.parametrize("value", [0, 77])
@pytest.mark.parametrize("missing", [1, 7, 20])
def test_an_interlaced_png_that_ends_early_is_truncated(value: int, missing: int) -> None:
    rows = interlaced_rows(np.full((12, 16, 3), value, np.uint8))
    assert decode(png((8, 2), rows, interlace=1), RGB).facts.flags == ()
    assert reason_for(png((8, 2), rows[:-missing], interlace=1)) == "truncated"


def test_a_png_of_one_byte_too_few_is_truncated() -> None:
    assert reason_for(png((8, 2), [bytes(48)] * 11 + [bytes(47)])) == "truncated"


def test_a_png_in_an_ico_is_looked_at_too() -> None:
    inner = png((8, 2), rows_of(np.full((12, 16, 3), 77, np.uint8)))
    short = png((8, 2), rows_of(np.full((11, 16, 3), 77, np.uint8)))
    head = struct.pack("<HHHBBBBHH", 0, 1, 1, 16, 12, 0, 0, 1, 24)
    files = [head + struct.pack("<II", len(body), 22) + body for body in (inner, short)]
    assert (decode(files[0], RGB).pixels == 77).all()
    assert reason_for(files[1]) == "truncated"


@pytest.mark.parametrize("kind", [b"IDAT", b"IHDR", b"IEND"])
def test_a_wrong_checksum_in_png_is_corrupt(kind: bytes) -> None:
    raw = bytearray(png((8, 2), [bytes(48)] * 12))
    at = raw.index(kind)
    raw[at + 4 + int.from_bytes(raw[at - 4 : at])] ^= 1
    assert reason_for(bytes(raw)) == "corrupt"


def test_damage_in_words_matters_before_the_pixels_only() -> None:
    words = bytearray(chunk(b"tEXt", b"Comment\0words"))
    words[-1] ^= 1
    raw = png((8, 2), [bytes(48)] * 12)
    assert decode(raw[:-12] + words + raw[-12:], RGB).facts.flags == ()
    assert reason_for(png((8, 2), [bytes(48)] * 12, bytes(words))) == "corrupt"


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("colour", [0, 1])
def test_a_gif_whose_codes_end_early_is_truncated(colour: int, interlace: int) -> None:
    image = Image.new("P", (40, 30), colour)
    image.putpalette([9, 9, 9, 200, 0, 0])
    raw = file_of(image, "GIF", interlace=interlace)
    assert decode(raw, RGB).pixels.shape == (30, 40, 3)
    # The same codes for a picture one row taller.
    taller = bytearray(raw)
    at = raw.index(b",\0\0\0\0(\0")
    taller[8], taller[at + 7] = 31, 31
    assert reason_for(bytes(taller)) == "truncated"


@pytest.mark.parametrize("seed", range(5))
def test_a_gif_that_ends_in_its_first_colour_is_whole(seed: int) -> None:
    # The last row is blank as Pillow begins with, so every code is counted: also full tables and cleared ones.
    values = np.random.default_rng(seed).integers(0, 1 << 2 * seed, (120, 90)).astype(np.uint8)
    values[-3:] = 0
    image = Image.fromarray(values).convert("P")
    decoded = decode(file_of(image, "GIF", optimize=False), RGB)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(image.convert("RGB")))


def test_a_tiff_strip_shorter_than_its_rows_is_truncated() -> None:
    colour = {258: (8, 8, 8), 277: (3,)}
    assert decode(tiff(colour, [bytes(12 * 48)]), RGB).pixels.shape == (12, 16, 3)
    assert reason_for(tiff(colour, [bytes(12 * 48 - 1)]) + bytes(600)) == "truncated"
    assert reason_for(tiff({**colour, 284: (2,)}, [bytes(192), bytes(192), bytes(191)]) + bytes(600)) == "truncated"


def test_bmp_rows_that_are_missing_are_noticed() -> None:
    assert decode(bmp(24, bytes(48 * 12)), RGB).pixels.shape == (12, 16, 3)
    assert reason_for(bmp(24, bytes(48 * 12 - 1))) == "truncated"
    assert reason_for(bmp(8, b"\x10\1" * 11 + b"\0\1", bytes(1024), 1)) == "truncated"


@pytest.mark.parametrize(("width_px", "height_px"), [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("kind", ["png", "tiff", "bmp", "ppm", "gif", "jpeg"])
def test_an_image_without_pixels_is_refused(kind: str, width_px: int, height_px: int) -> None:
    assert reason_for(of_size(kind, width_px, height_px)) in ("corrupt", "truncated")


@pytest.mark.parametrize("size", [(1, 2**31 - 1), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1), (40_000, 40_000)])
@pytest.mark.parametrize("kind", ["png", "tiff", "bmp", "ppm"])
def test_absurd_sizes_are_bombs_before_anything_is_decoded(kind: str, size: tuple[int, int]) -> None:
    assert reason_for(of_size(kind, *size)) == "bomb"


@pytest.mark.parametrize("kind", ["gif", "jpeg"])
def test_the_greatest_size_of_a_small_header_is_a_bomb(kind: str) -> None:
    assert reason_for(of_size(kind, 65_500, 65_500)) == "bomb"


def of_size(kind: str, width_px: int, height_px: int) -> bytes:
    """Return a file that declares this size and holds next to nothing."""
    little = struct.pack("<II", width_px, height_px)
    if kind == "png":
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0))
        return SIGNATURE + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    if kind == "tiff":
        return tiff({256: (width_px,), 257: (height_px,), 258: (8, 8, 8), 277: (3,)}, [bytes(100)])
    if kind == "bmp":
        return bmp(24, bytes(100)).replace(struct.pack("<II", 16, 12), little, 1)
    if kind == "ppm":
        return b"P6 %d %d 255\n" % (width_px, height_px) + bytes(100)
    if kind == "gif":
        size = struct.pack("<HH", width_px, height_px)
        return b"GIF89a" + size + bytes(3) + b"," + bytes(4) + size + b"\0\2\1\x44\0;"
    size = struct.pack(">HH", height_px, width_px)
    return file_of(PHOTO, "JPEG").replace(struct.pack(">HH", 48, 64), size, 1)


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_frames_behind_the_second_are_not_walked(kind: str) -> None:
    frames = [Image.new("P", (8, 8), number) for number in range(5)]
    raw = bytearray(
        file_of(FEW, kind, save_all=True, append_images=frames, **({"duration": 9} if kind == "GIF" else {}))
    )
    # The tail is noise: whoever walked there would stumble.
    raw[-20:] = b"\xa5" * 20
    assert "animated" in decode(bytes(raw), RGB).facts.flags


def test_a_hundred_thousand_frames_are_two() -> None:
    raw = file_of(FEW, "GIF")
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    decoded = decode(raw[:-1] + frame * 100_000 + b";", RGB)
    assert decoded.facts.flags == ("animated",)
    np.testing.assert_array_equal(decoded.pixels, decode(raw, RGB).pixels)


def zeros(size_bytes: int) -> bytes:
    return zlib.compress(bytes(size_bytes), 9)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"k\0\0" + zeros(2**21)),
        chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(2**21)),
        chunk(b"iCCP", b"k\0\0" + zeros(2**21)),
        b"".join(chunk(b"zTXt", b"k%d\0\0" % number + zeros(10**6)) for number in range(70)),
    ],
    ids=["text", "international text", "profile", "seventy texts"],
)
def test_compressed_words_in_png_that_fill_the_memory_are_a_bomb(extra: bytes) -> None:
    assert reason_for(png((8, 2), [bytes(48)] * 12, extra)) == "bomb"


def test_more_rows_than_declared_are_not_inflated() -> None:
    decoded = decode(png((8, 2), [bytes(48)] * 12 + [bytes(10**7)]), RGB)
    assert decoded.pixels.shape == (12, 16, 3)


@pytest.mark.parametrize("tag", [0x8769, 0x8825])
def test_exif_folders_that_lead_to_themselves_end(tag: int) -> None:
    loop = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIII", tag, 4, 1, 8, 8)
    assert decode(file_of(PHOTO, "PNG", exif=loop), RGB).facts.orientation == 1
    with_loop = file_of(PHOTO, "JPEG", exif=b"Exif\0\0" + loop)
    assert decode(with_loop, RGB).facts.orientation == 1


def test_tiff_pages_that_lead_to_themselves_end() -> None:
    raw = tiff({258: (8, 8, 8), 277: (3,)}, [bytes(12 * 48)], next_ifd=8)
    assert decode(raw, RGB).pixels.shape == (12, 16, 3)


def test_a_progressive_jpeg_may_have_many_scans_and_not_any_number() -> None:
    raw = file_of(PHOTO, "JPEG", progressive=True)
    last = raw.rindex(b"\xff\xda")
    assert count_scans(raw, read_jpeg_header(raw)) == 10
    assert reason_for(raw[:-2] + raw[last:-2] * 491 + raw[-2:]) == "bomb"


def test_a_scan_for_each_colour_is_counted_and_one_for_all_is_one() -> None:
    raw = file_of(PHOTO, "JPEG")
    assert count_scans(raw, read_jpeg_header(raw)) == 1
    assert reason_for(one_scan_a_colour(167)) == "bomb"


def one_scan_a_colour(times: int) -> bytes:
    """Return a sequential JPEG that says the same again and again."""
    raw = file_of(PHOTO, "JPEG")
    scans = b"".join(segment(0xDA, bytes([1, colour, 0x11, 0, 63, 0])) + b"\0" for colour in (1, 2, 3))
    return raw[: raw.index(b"\xff\xda")] + scans * times + b"\xff\xd9"


def test_scans_of_what_stands_behind_a_jpeg_are_not_its_own() -> None:
    raw = file_of(PHOTO, "JPEG", progressive=True)
    # A film behind a photo holds any bytes.
    assert decode(raw + b"\xff\xda" * 1000, RGB).facts.flags == ("trailing_data",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize(
    ("behind", "flags"),
    [(b"PK\3\4" + bytes(26) + b"x", ("trailing_data",)), (b"<script>", ("trailing_data",)), (bytes(99), ())],
    ids=["ZIP", "HTML", "zeros"],
)
def test_what_stands_behind_an_image_is_flagged_and_not_used(kind: str, behind: bytes, flags: tuple[str, ...]) -> None:
    raw = file_of(FEW if kind == "GIF" else PHOTO, kind)
    decoded = decode(raw + behind, RGB)
    np.testing.assert_array_equal(decoded.pixels, decode(raw, RGB).pixels)
    assert decoded.facts.flags == flags


def test_a_picture_in_the_words_of_another_is_not_seen() -> None:
    inner = file_of(Image.new("RGB", (9, 9), "red"), "JPEG")
    raw = file_of(PHOTO, "JPEG", exif=exif_block({0x010E: "text"}))
    hidden = raw[:2] + segment(0xFE, inner) + raw[2:]
    np.testing.assert_array_equal(decode(hidden, RGB).pixels, decode(raw, RGB).pixels)
