"""Every test that a page names as proof is there, is found by pytest, and is not switched off."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "image_assets_tests"
PAGES = [ROOT / "data" / name for name in ("GUARANTEES.md", "SECURITY.md")]
LAWS = 10


def named(page: Path) -> list[str]:
    return sorted(set(re.findall(r"`([\w/]+\.py::\w+)`", page.read_text(encoding="utf-8"))))


@cache
def declared_in(path: Path) -> dict[str, bool]:
    """Return the tests of a module, and whether each is always skipped."""
    found = {}
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node in [*body, *(inner for outer in body if isinstance(outer, ast.ClassDef) for inner in outer.body)]:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = [ast.unparse(mark).partition("(")[0] for mark in node.decorator_list]
            found[node.name] = bool({"pytest.mark.skip", "pytest.mark.xfail"} & set(marks))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    wrong = []
    for test in named(page):
        path, name = test.split("::")
        file = TESTS / path
        if not file.name.startswith("test_") or not file.is_file() or declared_in(file).get(name, True):
            wrong.append(test)
    assert named(page)
    assert wrong == []


def test_each_law_names_its_tests() -> None:
    laws = PAGES[0].read_text(encoding="utf-8").partition("## The ten laws")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \|.*::test_.*$", laws, re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, LAWS + 1))


def test_a_test_that_is_not_there_or_is_skipped_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "test_x.py"
    switched_off = "@pytest.mark.skip('why')\ndef test_b(): ...\n"
    file.write_text(f"import pytest\ndef test_a(): ...\n{switched_off}class TestX:\n def test_c(self): ...\n")
    assert declared_in(file) == {"test_a": False, "test_b": True, "test_c": False}
