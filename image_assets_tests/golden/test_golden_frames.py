"""The decode contract of files with several frames: each golden file becomes the frames that it was made from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_assets.core.errors import DecodeError
from image_assets.transforms.decode import decode
from image_assets.transforms.frames import decode_frames
from image_assets.transforms.orientation import orient
from image_assets_tests.golden.case import BACKGROUND
from image_assets_tests.golden.frame_files import frames_cases
from image_assets_tests.golden.make_golden import frames_expectation, pixel_hash, quarter_means
from image_assets_tests.transforms.pictures import some_settings

FOLDER = Path(__file__).parent
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected_frames.json").read_text(encoding="utf-8"))


def raw_of(name: str) -> bytes:
    return (FOLDER / "frames" / name).read_bytes()


def frames_of(raw: bytes, mode: str = "RGB") -> list[Any]:
    settings = some_settings(image={"mode": mode, "background": BACKGROUND, "frames": "all"})
    return [np.ascontiguousarray(orient(frame.pixels, frame.turn)) for frame in decode_frames(raw, settings)]


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_golden_file_becomes_its_frames(name: str, mode: str) -> None:
    row, frames = EXPECTED[name], frames_of(raw_of(name), mode)
    if row["tolerance"]:
        found = [quarter_means(frame) for frame in frames]
        np.testing.assert_allclose(found, row["frames"][mode], atol=row["tolerance"])
    else:
        assert [pixel_hash(frame) for frame in frames] == row["frames"][mode]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_first_frame_is_the_one_that_is_taken_alone(name: str) -> None:
    settings = some_settings(image={"background": BACKGROUND})
    alone, first = decode(raw_of(name), settings), next(decode_frames(raw_of(name), settings))
    np.testing.assert_array_equal(first.pixels, alone.pixels)
    assert set(alone.facts.flags) - {"animated"} == set(first.facts.flags)
    assert ("animated" in alone.facts.flags) == (len(EXPECTED[name]["frames"]["RGB"]) > 1)


@pytest.mark.parametrize("name", EXPECTED)
def test_of_a_golden_file_that_is_cut_no_frame_is_taken(name: str) -> None:
    raw = raw_of(name)
    for size_bytes in range(0, len(raw), max(1, len(raw) // 200)):
        with pytest.raises(DecodeError) as caught:
            frames_of(raw[:size_bytes])
        # The first few bytes of an AVIF are those of many formats.
        few = {"zero_bytes", "not_an_image", "unsupported_format"} if size_bytes < 16 else set()
        assert caught.value.reason in {"truncated", "corrupt", *few}


def test_the_table_is_what_the_script_writes_and_the_files_are_all_there() -> None:
    cases = list(frames_cases())
    assert {case.name: frames_expectation(case) for case in cases} == EXPECTED
    assert {path.name for path in (FOLDER / "frames").iterdir()} == set(EXPECTED)
    assert sum(path.stat().st_size for path in (FOLDER / "frames").iterdir()) < 60_000
