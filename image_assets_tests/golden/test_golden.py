"""The decode contract (data/DECODING.md), file by file: each golden file becomes what it was made from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_assets.core.errors import DecodeError
from image_assets.transforms.decode import decode
from image_assets_tests.golden.case import BACKGROUND
from image_assets_tests.golden.make_golden import all_cases, expectation, pixel_hash, quarter_means
from image_assets_tests.transforms.pictures import some_settings, upright

FOLDER = Path(__file__).parent
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
DECODED = [name for name, row in EXPECTED.items() if "reason" not in row]
REFUSED = [name for name, row in EXPECTED.items() if "reason" in row]


def raw_of(name: str) -> bytes:
    return (FOLDER / "files" / name).read_bytes()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", DECODED)
def test_a_golden_file_becomes_its_pixels(name: str, mode: str) -> None:
    row = EXPECTED[name]
    pixels = upright(raw_of(name), some_settings(image={"mode": mode, "background": BACKGROUND}))
    if row["tolerance"]:
        np.testing.assert_allclose(quarter_means(pixels), row["pixels"][mode], atol=row["tolerance"])
    else:
        assert pixel_hash(np.ascontiguousarray(pixels)) == row["pixels"][mode]


@pytest.mark.parametrize("name", DECODED)
def test_a_golden_file_gives_its_facts(name: str) -> None:
    row, facts = EXPECTED[name], decode(raw_of(name), some_settings()).facts
    assert (facts.raw_format, facts.raw_mode) == (row["format"], row["raw_mode"])
    assert (facts.orientation, list(facts.flags)) == (row["orientation"], row["flags"])


# Numbers in words: of a last one that is cut, nobody can tell.
@pytest.mark.parametrize("name", sorted({*DECODED} - {"text.pgm"}))
def test_a_golden_file_that_is_cut_is_refused_or_loses_nothing(name: str) -> None:
    raw, settings = raw_of(name), some_settings()
    whole = decode(raw, settings).pixels
    for size_bytes in range(0, len(raw), max(1, len(raw) // 100)):
        try:
            pixels = decode(raw[:size_bytes], settings).pixels
        except DecodeError:
            continue
        # Cut behind the first frame, in padding, a footer or the mark of the end.
        np.testing.assert_array_equal(pixels, whole)


@pytest.mark.parametrize("name", REFUSED)
def test_a_golden_file_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(raw_of(name), some_settings())
    assert caught.value.reason == EXPECTED[name]["reason"]


def test_the_table_is_what_the_script_writes_and_the_files_are_all_there() -> None:
    assert {case.name: expectation(case) for case in all_cases()} == EXPECTED
    assert {path.name for path in (FOLDER / "files").iterdir()} == set(EXPECTED)
    assert sum(path.stat().st_size for path in (FOLDER / "files").iterdir()) < 200_000
