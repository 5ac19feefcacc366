"""The table of a benchmark."""

from pathlib import Path

import pytest

from image_assets_tests.benchmarks.peers.registry import OURS, PEERS
from image_assets_tests.benchmarks.peers.rounds import Again, Contender
from image_assets_tests.benchmarks.peers.table import BEGIN, END, table, write_table
from image_assets_tests.benchmarks.peers.usage import Usage
from image_assets_tests.benchmarks.peers.verify import Verdict

SIZES = (1000, 4000)


def test_costs_are_differences_of_the_fastest_runs() -> None:
    line = row_of(table([contender(OURS, 3.0, 9.0), contender("pillow", 8.0, 20.0)], SIZES, "command"), "loop")
    # 12 s for 3,000 images; 4 s of the first 8 s are its 1,000 images; twice ours.
    assert line[4:6] == ["4.00", "2.00"]
    assert line[7] == "4.0"


def test_a_stale_image_is_shown() -> None:
    late = contender("img2dataset", 8.0, 20.0)
    late.changed = Again(2.0, 0, 1)
    assert (
        row_of(table([contender(OURS, 3.0, 9.0), late], SIZES, "c"), "img2dataset")[-1] == "2.0 s, 0 done, **1 stale**"
    )


def test_a_tool_that_failed_has_its_reason() -> None:
    failed = Contender("spark", PEERS["spark"], failure="no Java")
    assert row_of(table([contender(OURS, 3.0, 9.0), failed], SIZES, "c"), "Spark")[2] == "no Java"


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table("new", readme)
    assert readme.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_readme_without_markers_is_refused(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing")
    with pytest.raises(ValueError, match="not found"):
        write_table("new", readme)


def contender(name: str, few_s: float, many_s: float) -> Contender:
    """Return a tool that ran twice at each size, the first time slower."""
    cold = {
        images: [Usage(0, wall_s + 1, 5, 10**8, 0), Usage(0, wall_s, 4, 10**8, 0)]
        for images, wall_s in zip(SIZES, (few_s, many_s), strict=True)
    }
    return Contender(name, PEERS[name], cold=cold, verdict=Verdict(0, 38.0))


def row_of(markdown: str, title: str) -> list[str]:
    (line,) = [line for line in markdown.splitlines() if line.startswith("| ") and title in line]
    return line.strip("| ").split(" | ")
