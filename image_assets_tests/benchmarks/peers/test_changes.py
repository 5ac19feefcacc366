"""Judging what a tool made of a change."""

from pathlib import Path

import pytest

from image_assets_tests.benchmarks.peers.changes import CHANGES, Hashes, hashes_below, judge
from image_assets_tests.benchmarks.peers.outputs import OutputImage
from image_assets_tests.images import write_images

BEFORE = {"a/0.jpg": "0", "a/1.jpg": "1"}

# What lies in the folder now, which hashes the output has, and the verdict.
CASES: dict[str, tuple[Hashes, Hashes, str]] = {
    "followed": ({"a/0.jpg": "2", "a/1.jpg": "1"}, {"a/0.jpg": "2", "a/1.jpg": "1"}, "right"),
    "not followed": ({"a/0.jpg": "2", "a/1.jpg": "1"}, BEFORE, "1 stale"),
    "nothing changed, and a row is lost": (BEFORE, {"a/0.jpg": "0"}, "1 missing"),
    "renamed, and both names are there": (
        {"a/0.jpg": "0", "a/2.jpg": "1"},
        {**BEFORE, "a/2.jpg": "1"},
        "1 row of what is no more",
    ),
    "renamed, and only the old one is there": (
        {"a/0.jpg": "0", "a/2.jpg": "1"},
        BEFORE,
        "1 row of what is no more, 1 missing",
    ),
    "deleted": ({"a/0.jpg": "0"}, {"a/0.jpg": "0"}, "right"),
    "cut short, and the old row stays": ({"a/0.jpg": "", "a/1.jpg": "1"}, BEFORE, "1 row of what is no more"),
    "an earlier fault is not told again": ({"a/0.jpg": "0"}, {"a/0.jpg": "9"}, "right"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_about_the_files_that_changed(case: str) -> None:
    now, found, verdict = CASES[case]
    rows = [OutputImage(key, "a", sha256, b"") for key, sha256 in found.items()]
    assert judge(rows, BEFORE, now) == verdict


def test_each_change_touches_another_file(tmp_path: Path) -> None:
    write_images(tmp_path, 12)
    touched = []
    for change in CHANGES.values():
        before = hashes_below(tmp_path)
        change(tmp_path)
        touched.append(len(set(before.items()) ^ set(hashes_below(tmp_path).items())))
    # An old and a new hash, an old and a new name, one name less, a hash and none.
    assert touched == [0, 2, 2, 1, 2]
