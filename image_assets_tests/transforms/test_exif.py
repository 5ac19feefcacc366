"""The EXIF fields that are kept, and EXIF that is broken."""

import struct
from typing import Any

import pytest
from PIL import TiffImagePlugin

from image_assets.transforms.decode import decode
from image_assets.transforms.exif import NO_EXIF, Exif, parse_exif
from image_assets_tests.transforms.pictures import exif_block, file_of, photo, some_settings

MAKE, MODEL, ORIENTATION, DATE_TIME = 0x010F, 0x0110, 0x0112, 0x0132
ORIGINAL, DIGITIZED = 0x9003, 0x9004
SOME_GPS = {1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 54.0)}


def parsed(tags: dict[int, Any], gps: Any = None, sub: Any = None, *, keep_gps: bool = False) -> Exif:
    return parse_exif(exif_block(tags, gps, sub).tobytes().removeprefix(b"Exif\0\0"), keep_gps=keep_gps)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_fields_are_found_in_every_format(kind: str) -> None:
    exif = exif_block({MAKE: "Maker", MODEL: "Model 1", DATE_TIME: "2024:05:01 12:30:00"}, SOME_GPS)
    facts = decode(file_of(photo(32, 32), kind, exif=exif.tobytes()), some_settings(keep_gps=True)).facts
    assert (facts.camera_make, facts.camera_model) == ("Maker", "Model 1")
    assert facts.taken_at == "2024-05-01T12:30:00"
    assert facts.gps_latitude == pytest.approx(-33.86)
    assert facts.gps_longitude == pytest.approx(151.215)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_without_keep_gps_no_coordinate_is_read(kind: str) -> None:
    exif = exif_block({MAKE: "Maker"}, SOME_GPS)
    facts = decode(file_of(photo(32, 32), kind, exif=exif.tobytes()), some_settings()).facts
    assert facts.has_gps
    assert facts.gps_latitude is None
    assert facts.gps_longitude is None


@pytest.mark.parametrize(
    ("sub", "main", "expected"),
    [
        (
            {ORIGINAL: "2001:01:01 01:01:01", DIGITIZED: "2002:02:02 02:02:02"},
            "2003:03:03 03:03:03",
            "2001-01-01T01:01:01",
        ),
        ({DIGITIZED: "2002:02:02 02:02:02"}, "2003:03:03 03:03:03", "2002-02-02T02:02:02"),
        ({}, "2003:03:03 03:03:03", "2003-03-03T03:03:03"),
        # What cameras without a clock write gives way to the next.
        ({ORIGINAL: "0000:00:00 00:00:00"}, "2003:03:03 03:03:03", "2003-03-03T03:03:03"),
        ({ORIGINAL: "    :  :     :  :  "}, None, None),
        ({}, "2003:13:03 03:03:03", None),
        ({}, "2003:02:30 03:03:03", None),
        ({}, "yesterday", None),
        ({}, "2003:03:03", None),
    ],
)
def test_the_first_good_date_is_taken(sub: dict[int, Any], main: str | None, expected: str | None) -> None:
    assert parsed({DATE_TIME: main} if main else {}, sub=sub).taken_at == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("  Canon  ", "Canon"),
        ("Canon\0\0\0garbage", "Canon"),
        ("Ca\x07n\non", "Canon"),
        ("", None),
        ("   ", None),
        ("x" * 5000, "x" * 64),
    ],
)
def test_names_are_clean_and_short(written: str, expected: str | None) -> None:
    assert parsed({MAKE: written}).camera_make == expected


@pytest.mark.parametrize("written", ["Köl".encode(), b"K\xf6l\0"], ids=["utf-8", "latin-1"])
def test_names_are_text_in_either_encoding(written: bytes) -> None:
    assert parse_exif(tiff_block([(MAKE, 2, 4, written)]), keep_gps=False).camera_make == "Köl"


@pytest.mark.parametrize(("written", "expected"), [(0, 1), (1, 1), (6, 6), (8, 8), (9, 1), (65535, 1)])
def test_an_orientation_that_does_not_exist_is_none(written: int, expected: int) -> None:
    assert parsed({ORIENTATION: written}).orientation == expected


@pytest.mark.parametrize(
    ("gps", "expected"),
    [
        (SOME_GPS, (-33.86, 151.215)),
        ({**SOME_GPS, 1: "N", 3: "W"}, (33.86, -151.215)),
        ({**SOME_GPS, 1: "?"}, (None, 151.215)),
        ({**SOME_GPS, 2: (91.0, 0.0, 0.0)}, (None, 151.215)),
        ({**SOME_GPS, 4: (181.0, 0.0, 0.0)}, (-33.86, None)),
        ({**SOME_GPS, 2: (TiffImagePlugin.IFDRational(1, 0),) * 3}, (None, 151.215)),
        ({**SOME_GPS, 2: (33.0,)}, (None, 151.215)),
        ({0: b"\2\3\0\0"}, (None, None)),
    ],
)
def test_coordinates_are_signed_degrees_or_nothing(gps: dict[int, Any], expected: tuple[Any, Any]) -> None:
    found = parsed({}, gps, keep_gps=True)
    assert (found.gps_latitude, found.gps_longitude) == (
        expected[0] and pytest.approx(expected[0]),
        expected[1] and pytest.approx(expected[1]),
    )
    assert found.has_gps == (2 in gps)


def tiff_block(fields: list[tuple[int, int, int, bytes]], order: str = "<") -> bytes:
    """Return EXIF with these (tag, type, count, four value bytes)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(fields))
    return head + b"".join(struct.pack(order + "HHI", *field[:3]) + field[3] for field in fields) + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_are_read(order: str) -> None:
    block = tiff_block([(ORIENTATION, 3, 1, struct.pack(order + "HH", 6, 0))], order)
    assert parse_exif(block, keep_gps=False).orientation == 6


BROKEN = {
    "nothing": b"",
    "no TIFF": b"garbage garbage garbage",
    "only a header": b"II*\0\x08\0\0\0",
    "folder outside": b"II*\0\xff\xff\xff\x7f" + bytes(20),
    "folder of 65535 fields": b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\1\0\0\0",
    "value outside": tiff_block([(MAKE, 2, 50, b"\xff\xff\xff\x7f")]),
    "four thousand million values": tiff_block([(MAKE, 2, 2**32 - 1, b"\x08\0\0\0")]),
    "folder that is itself": tiff_block([(0x8769, 4, 1, b"\x08\0\0\0"), (0x8825, 4, 1, b"\x08\0\0\0")]),
    "text where a number should be": tiff_block([(ORIENTATION, 2, 4, b"six\0"), (0x8825, 2, 4, b"gps\0")]),
    "type that does not exist": tiff_block([(MAKE, 99, 4, b"make")]),
}


@pytest.mark.parametrize("block", BROKEN.values(), ids=BROKEN.keys())
def test_broken_exif_is_no_exif_and_never_fails_an_image(block: bytes) -> None:
    found = parse_exif(block, keep_gps=True)
    assert (found.orientation, found.taken_at, found.gps_latitude) == (1, None, None)
    for kind in ("JPEG", "PNG", "WEBP"):
        facts = decode(file_of(photo(32, 32), kind, exif=b"Exif\0\0" + block), some_settings()).facts
        assert (facts.orientation, facts.flags) == (1, ())


def test_no_time_is_spent_on_endless_fields() -> None:
    orientation = (ORIENTATION, 3, 1, b"\6\0\0\0")
    assert parse_exif(tiff_block([*[(1, 3, 1, bytes(4))] * 1000, orientation]), keep_gps=False).orientation == 6
    assert parse_exif(tiff_block([*[(1, 3, 1, bytes(4))] * 2000, orientation]), keep_gps=False).orientation == 1


def test_exif_cut_anywhere_never_fails() -> None:
    block = exif_block({MAKE: "Maker", ORIENTATION: 6}, SOME_GPS, {ORIGINAL: "2001:01:01 01:01:01"}).tobytes()[6:]
    for size_bytes in range(len(block)):
        found = parse_exif(block[:size_bytes], keep_gps=True)
        assert found.orientation in (1, 6)
        assert found.taken_at in (None, "2001-01-01T01:01:01")


def test_no_exif_is_the_default() -> None:
    assert parse_exif(None, keep_gps=True) == NO_EXIF
    assert decode(file_of(photo(32, 32), "JPEG"), some_settings()).facts.orientation == 1
