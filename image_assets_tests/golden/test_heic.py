"""HEIC: with the extra ``heic`` each golden file becomes what it was made from, without it all are refused alike."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_assets.core.errors import DecodeError
from image_assets.pipeline.detect import RunOptions
from image_assets.pipeline.inspection import inspect_files
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.run import run_dataset
from image_assets.transforms.decode import decode
from image_assets.transforms.frames import decode_frames
from image_assets.transforms.orientation import orient
from image_assets_tests.golden.case import BACKGROUND, luma
from image_assets_tests.images import make_settings_for
from image_assets_tests.transforms.pictures import photo, quadrants, some_settings

FOLDER = Path(__file__).parent / "heic"
NAMES = sorted(path.name for path in FOLDER.iterdir())
QUARTERS = quadrants()
HALF = QUARTERS.copy()
HALF[:, 32:] = BACKGROUND
DEEP = np.repeat(np.arange(48 * 64).reshape(48, 64, 1) * 21 / 256, 3, axis=2)
RED = np.repeat(QUARTERS[:, :, :1], 3, axis=2)

# What each file was made of, and by how much a pixel may differ.
MADE_OF: dict[str, tuple[Any, float]] = {
    "lossless.heic": (QUARTERS, 0),
    "gray.heic": (RED, 0),
    "alpha.heic": (HALF, 0),
    "second_is_primary.heic": (255 - QUARTERS, 0),
    "film.heics": (QUARTERS, 0),
    **{f"orientation{number}.heic": (orient(QUARTERS, number), 0) for number in range(1, 9)},
    # The boxes say how it stands, and there are none.
    "exif_alone.heic": (QUARTERS, 0),
    # The two lowest of ten bits go.
    "ten_bits.heic": (DEEP, 1.5),
    # Red and green have changed places in its profile.
    "profile.heic": (QUARTERS[:, :, [1, 0, 2]], 8),
    "lossy.heic": (QUARTERS, 8),
    "bt709.heic": (QUARTERS, 8),
    "narrow_range.heic": (QUARTERS, 8),
    "photo.heic": (photo(192, 128), 60),
}


@pytest.fixture
def decoder() -> None:
    pytest.importorskip("pi_heif", reason="needs the extra heic")


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own way to say that a package cannot be imported."""
    monkeypatch.setitem(sys.modules, "pi_heif", None)


def raw_of(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def settings_for(**image: Any) -> Any:
    return some_settings(image={"background": BACKGROUND, **image})


def test_the_files_are_all_in_the_table_and_small() -> None:
    assert sorted(MADE_OF) == NAMES
    assert max((FOLDER / name).stat().st_size for name in NAMES) < 20_000


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("name", NAMES)
def test_a_golden_file_becomes_its_pixels(name: str) -> None:
    made_of, tolerance = MADE_OF[name]
    for mode, expected in (("RGB", made_of), ("L", luma(made_of))):
        decoded = decode(raw_of(name), settings_for(mode=mode))
        found = orient(decoded.pixels, decoded.turn).astype(float)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= tolerance
        assert np.abs(found - expected).mean() <= min(tolerance, 4)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("name", NAMES)
def test_a_golden_file_gives_its_facts(name: str) -> None:
    facts = decode(raw_of(name), settings_for()).facts
    mode = {"gray.heic": "L", "alpha.heic": "RGBA"}.get(name, "RGB")
    height_px, width_px = MADE_OF[name][0].shape[:2]
    assert (facts.raw_format, facts.raw_mode, facts.orientation) == ("HEIF", mode, 1)
    assert (facts.raw_width_px, facts.raw_height_px) == (width_px, height_px)
    assert facts.flags == (("animated",) if name == "film.heics" else ())
    assert facts.camera_model == ("phone" if "orientation" in name else None)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("name", NAMES)
def test_a_golden_file_that_is_cut_is_refused(name: str) -> None:
    raw = raw_of(name)
    for size_bytes in [*range(0, len(raw), max(1, len(raw) // 100)), len(raw) - 1]:
        with pytest.raises(DecodeError):
            decode(raw[:size_bytes], settings_for())


@pytest.mark.usefixtures("decoder")
def test_the_limit_of_pixels_holds_before_anything_is_decoded() -> None:
    # Nothing but the header is there to be decoded: the data are noise.
    raw = bytearray(raw_of("photo.heic"))
    raw[-13_000:] = b"\xa5" * 13_000
    with pytest.raises(DecodeError) as caught:
        decode(bytes(raw), some_settings(limits={"max_pixels": 192 * 128 - 1}))
    assert (caught.value.reason, "192 x 128" in caught.value.detail) == ("bomb", True)


@pytest.mark.usefixtures("decoder")
def test_all_frames_of_a_heic_are_its_picture() -> None:
    for name, flags in (("second_is_primary.heic", ()), ("film.heics", ("animated",))):
        (frame,) = decode_frames(raw_of(name), settings_for(frames="all"))
        np.testing.assert_array_equal(frame.pixels, MADE_OF[name][0])
        assert frame.facts.flags == flags


@pytest.mark.usefixtures("decoder")
def test_nobody_else_in_the_process_opens_heic_by_it() -> None:
    decode(raw_of("lossless.heic"), settings_for())
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(raw_of("lossless.heic")))


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("position", range(4))
def test_a_kind_of_item_that_is_no_text_is_corrupt_and_ends_no_process(position: int) -> None:
    raw = bytearray(raw_of("orientation3.heic"))
    raw[raw.index(b"infe", raw.index(b"infe") + 4) + 12 + position] = 0xFA
    with pytest.raises(DecodeError) as caught:
        decode(bytes(raw), settings_for())
    assert caught.value.reason == "corrupt"


@pytest.mark.usefixtures("decoder")
def test_bytes_behind_the_boxes_are_not_read() -> None:
    raw = raw_of("lossless.heic")
    for behind in (bytes(50), b"SEFH" + bytes(60) + b"SEFT"):
        np.testing.assert_array_equal(decode(raw + behind, settings_for()).pixels, QUARTERS)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("name", NAMES)
def test_without_the_extra_a_heic_says_what_to_install(name: str) -> None:
    for raw in (raw_of(name), raw_of(name)[:500]):
        with pytest.raises(DecodeError) as caught:
            decode(raw, settings_for())
        assert caught.value.reason == "unsupported_format"
        assert "pip install 'image_assets[heic]'" in caught.value.detail


@pytest.mark.usefixtures("decoder")
def test_what_failed_without_the_extra_is_tried_again_when_asked(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("lossy.heic", "orientation6.heic"):
        (tmp_path / "raw" / name).write_bytes(raw_of(name))
    settings = make_settings_for(tmp_path, checks={"failed_fraction": {"error": 1}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pi_heif", None)
        assert run_dataset(settings).counts.failed == 2
    assert {entry["reason"] for entry in quarantine_summary(settings)["quarantine"]} == {"unsupported_format"}
    assert run_dataset(settings).counts.decoded == 0
    again = run_dataset(settings, RunOptions(retry=frozenset({"unsupported_format"})))
    assert (again.counts.decoded, again.counts.failed, again.index.head.rows) == (2, 0, 2)
    made_at_once = run_dataset(make_settings_for(tmp_path, store="other", workers=2))
    assert made_at_once.index.head.digest == again.index.head.digest


@pytest.mark.usefixtures("decoder")
def test_inspect_tells_a_heic_with_its_profile(tmp_path: Path) -> None:
    settings = some_settings(limits={"max_memory_bytes": 2**28}, workers=1)
    (found,) = inspect_files(settings, [str(FOLDER / "profile.heic")])
    assert (found.report["verdict"], found.report["frames"], found.report["icc_profile"]) == ("ok", 1, "test")
