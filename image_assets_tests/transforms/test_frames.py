"""All frames of a file or none: broken later frames, limits, numbers of outputs, draws."""

import hashlib
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_assets.core.errors import DecodeError
from image_assets.transforms.chain import Renderer
from image_assets.transforms.decode import decode
from image_assets.transforms.frames import decode_frames
from image_assets_tests.golden.png_files import chunk
from image_assets_tests.transforms.pictures import file_of, opened, photo, some_settings

ALL = some_settings(image={"frames": "all"})
PHOTOS = [Image.fromarray(photo(64, 48, seed=seed)) for seed in range(4)]
FEW = [image.quantize(64) for image in PHOTOS]
BITS = [image.convert("1") for image in PHOTOS]
CLEAR = [image.convert("RGBA") for image in PHOTOS]
MIXED = [PHOTOS[0], PHOTOS[1].resize((20, 30)), PHOTOS[2].convert("L"), PHOTOS[3].convert("CMYK")]
KINDS: list[tuple[str, list[Image.Image], str, dict[str, Any]]] = [
    ("GIF", FEW, "GIF", {}),
    ("GIF of 256 colours", [image.quantize(256) for image in PHOTOS], "GIF", {"disposal": 2}),
    ("interlaced GIF", FEW, "GIF", {"interlace": 1}),
    ("WebP", PHOTOS, "WEBP", {}),
    ("lossless WebP", CLEAR, "WEBP", {"lossless": True}),
    ("PNG", PHOTOS, "PNG", {}),
    ("PNG with palette", FEW, "PNG", {}),
    ("PNG with alpha", CLEAR, "PNG", {"blend": 1, "disposal": 1}),
    ("PNG, default image apart", PHOTOS, "PNG", {"default_image": True}),
    ("AVIF", PHOTOS, "AVIF", {}),
    ("TIFF", MIXED, "TIFF", {}),
    ("large TIFF", MIXED, "TIFF", {"big_tiff": True}),
    *((f"TIFF, {name}", MIXED[:3], "TIFF", {"compression": name})
      for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma")),
    *((f"TIFF, {name}", BITS, "TIFF", {"compression": name}) for name in ("group3", "group4")),
]  # fmt: skip
NAMES = [row[0] for row in KINDS]


def file_with(frames: list[Image.Image], kind: str, **options: Any) -> bytes:
    duration = {} if kind == "TIFF" else {"duration": 50}
    return file_of(frames[0], kind, save_all=True, append_images=frames[1:], **duration, **options)


def reason_for(raw: bytes, **limits: int) -> str:
    with pytest.raises(DecodeError) as caught:
        list(decode_frames(raw, some_settings(image={"frames": "all"}, limits=limits)))
    return f"{caught.value.reason}: {caught.value.detail}"


@pytest.mark.parametrize(("frames", "kind", "options"), [row[1:] for row in KINDS], ids=NAMES)
def test_every_frame_is_there_and_a_cut_file_gives_none(frames: list[Image.Image], kind: str, options: Any) -> None:
    raw = file_with(frames, kind, **options)
    sizes = [frame.pixels.shape[1::-1] for frame in decode_frames(raw, ALL)]
    assert sizes == [frame.size for frame in frames]
    for percent in range(100):
        assert reason_for(raw[: len(raw) * percent // 100]).split(":")[0] not in ("bomb", "too_large")


@pytest.mark.parametrize(("frames", "kind", "options"), [row[1:] for row in KINDS], ids=NAMES)
def test_more_frames_than_the_limit_are_a_bomb_that_names_it(
    frames: list[Image.Image], kind: str, options: Any
) -> None:
    raw = file_with(frames, kind, **options)
    assert len(list(decode_frames(raw, some_settings(image={"frames": "all"}, limits={"max_frames": len(frames)})))) > 1
    reason = reason_for(raw, max_frames=len(frames) - 1)
    assert reason.startswith("bomb: ")
    assert f"limits.max_frames is {len(frames) - 1}" in reason


def test_without_all_frames_there_is_no_limit_to_them() -> None:
    raw = file_with(FEW, "GIF")
    assert decode(raw, some_settings(limits={"max_frames": 1})).facts.flags == ("animated",)


def test_a_page_that_is_larger_than_the_limit_is_a_bomb_though_the_first_is_not() -> None:
    raw = file_with([PHOTOS[0], PHOTOS[1].resize((100, 100))], "TIFF")
    assert decode(raw, some_settings(limits={"max_pixels": 5000})).pixels.shape == (48, 64, 3)
    assert reason_for(raw, max_pixels=5000).startswith("bomb: ")
    assert "100 x 100" in reason_for(raw, max_pixels=5000)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("colours", [4, 256])
def test_a_frame_of_a_gif_with_codes_for_too_few_pixels_is_truncated(colours: int, interlace: int) -> None:
    frames = [image.resize((40, 30)).quantize(colours) for image in PHOTOS[:2]]
    raw = bytearray(file_with(frames, "GIF", interlace=interlace, optimize=False))
    at = raw.rindex(b",\0\0\0\0(\0\x1e\0")
    # The same codes for a picture one row taller; in that row the first frame would be seen.
    raw[8], raw[at + 7] = 31, 31
    alone = some_settings()
    taller = Image.new("P", (40, 31))
    taller.putpalette([9, 9, 9])
    first = file_of(taller, "GIF")
    joined = first[:-1] + bytes(raw[raw.rindex(b"!\xf9", 0, at) :])
    assert decode(joined, alone).facts.flags == ("animated",)
    assert reason_for(joined).split(":")[0] == "truncated"


def test_a_gif_without_a_trailer_may_lack_frames() -> None:
    raw = file_with(FEW, "GIF")
    assert decode(raw[:-1], ALL).facts.flags == ("animated", "trailing_data")
    assert "without its trailer" in reason_for(raw[:-1])


def animated_png(**changes: Any) -> bytes:
    """Return a PNG of two gray frames, 8 x 8, whose second one is as ``changes`` say."""
    rows = zlib.compress((b"\0" + bytes([77]) * 8) * changes.get("rows", 8))
    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    control = [struct.pack(">IIIIIHHBB", number, 8, 8, 0, 0, 1, 10, 0, 0) for number in (0, 1)]
    second = chunk(b"fdAT", struct.pack(">I", changes.get("number", 2)) + rows)
    if changes.get("damaged"):
        second = second[:-1] + bytes([second[-1] ^ 1])
    parts = [chunk(b"IHDR", head), chunk(b"acTL", struct.pack(">II", changes.get("declared", 2), 0))]
    parts += [chunk(b"fcTL", control[0]), chunk(b"IDAT", zlib.compress((b"\0" + bytes([9]) * 8) * 8))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"fcTL", control[1]), second, chunk(b"IEND", b"")])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": 7}, "truncated"),
        ({"declared": 3}, "truncated"),
        ({"damaged": True}, "corrupt"),
        ({"number": 5}, "corrupt"),
    ],
)
def test_a_later_frame_of_a_png_that_is_broken_fails_the_whole_file(changes: dict[str, Any], reason: str) -> None:
    assert [frame.pixels[0, 0, 0] for frame in decode_frames(animated_png(), ALL)] == [9, 77]
    assert decode(animated_png(**changes), ALL).facts.flags == ("animated",)
    assert reason_for(animated_png(**changes)).split(":")[0] == reason


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_noise_in_the_last_frame_fails_the_whole_file(kind: str) -> None:
    # Lossy WebP has no way to tell.
    raw = bytearray(file_with(PHOTOS, kind, **({"lossless": True} if kind == "WEBP" else {})))
    raw[-300:-20] = b"\xa5" * 280
    assert "animated" in decode(bytes(raw), ALL).facts.flags
    assert reason_for(bytes(raw)).split(":")[0] in ("corrupt", "truncated")


def test_a_page_whose_strip_ends_behind_the_file_is_truncated() -> None:
    raw = file_with(PHOTOS[:2], "TIFF")
    assert reason_for(raw[:-2000]).split(":")[0] == "truncated"
    assert decode(raw[:-2000], ALL).facts.flags == ("animated",)


def test_an_image_of_one_frame_gives_what_it_always_gave() -> None:
    plain = some_settings()
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP"):
        raw = file_of(PHOTOS[0], kind)
        digest = hashlib.sha256(raw).hexdigest()
        assert Renderer(ALL).render(raw, digest) == Renderer(plain).render(raw, digest)


def test_outputs_are_numbered_through_all_frames_and_each_draws_for_itself() -> None:
    augment = {"variants": 1, "transforms": ["random_crop"]}
    options = {"output": {"format": "png"}, "augment": augment}
    # The same picture three times: outputs differ by their draws alone.
    raw = file_with([MIXED[0], MIXED[0], MIXED[0]], "TIFF")
    digest = hashlib.sha256(raw).hexdigest()
    rendered = Renderer(some_settings(image={"frames": "all"}, **options)).render(raw, digest)
    first = Renderer(some_settings(**options)).render(raw, digest)
    assert [output.variant for output in rendered.outputs] == list(range(6))
    assert rendered.outputs[:2] == first.outputs
    assert (rendered.facts.flags, first.facts.flags) == ((), ("animated",))
    plain, drawn = rendered.outputs[::2], rendered.outputs[1::2]
    assert (len({output.sha256 for output in plain}), len({output.sha256 for output in drawn})) == (1, 3)
    np.testing.assert_array_equal(opened(plain[0].data), opened(first.outputs[0].data))


def test_a_bad_profile_of_any_page_is_flagged() -> None:
    pages = [PHOTOS[0], PHOTOS[1]]
    pages[1].encoderinfo = {"icc_profile": b"no profile at all"}  # type: ignore[attr-defined]
    raw = file_with(pages, "TIFF")
    del pages[1].encoderinfo  # type: ignore[attr-defined]
    assert Renderer(ALL).render(raw, "0" * 64).facts.flags == ("bad_icc",)
    assert decode(raw, ALL).facts.flags == ("animated",)
