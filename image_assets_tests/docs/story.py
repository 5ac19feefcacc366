"""A page as a story: its blocks are run one after the other, and each finds what those before it left."""

import ast
import importlib
import json
import re
import sys
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from types import CodeType

import duckdb
import pytest
from packaging.requirements import Requirement

from image_assets.pipeline.warehouse_views import views_script
from image_assets.settings import load_settings
from image_assets_tests.docs.markdown import ROOT, Block
from image_assets_tests.docs.shell import Shell
from image_assets_tests.docs.yaml_blocks import check_yaml

SAMPLE = Path("data/datasets/photos.yaml")
# Packages that a block may need beside those of the extras.
_OTHERS = {
    "dask",
    "dagster_dg_cli",
    "dotenv",
    "kubernetes",
    "matplotlib",
    "numba",
    "pandas",
    "polars",
    "sklearn",
    "torchdata",
}


class Story:
    """One page being executed in its own project, which is the current folder."""

    def __init__(self, page: Path, home: Path, patch: pytest.MonkeyPatch) -> None:
        self._page = page
        self._names: dict[str, object] = {"__name__": "__main__"}
        # What blocks that could not be run would have left.
        self._missing: set[str] = set()
        self._shell = Shell(home, patch, self.tell)
        self._kinds: dict[str, Callable[[Block], object]] = {
            "bash": lambda block: self._shell.run(block.text),
            "python": self._run_python,
            "yaml": lambda block: check_yaml(block.text, Path(block.name) if block.name else None),
            "json": lambda block: json.loads(block.text),
            "toml": lambda block: tomllib.loads(block.text),
            "ini": lambda block: ConfigParser().read_string(block.text),
            "sql": lambda block: _run_sql(block.text),
            "csv": lambda block: None,
            "text": _check_text,
        }

    def run(self, block: Block) -> None:
        """Run one block.

        Raises:
            AssertionError: nothing is known of such a block, or it does not do what it should.
        """
        known = ", ".join(self._kinds)
        assert block.language in self._kinds, f"{block.language!r} is no kind of block that is executed: {known}"
        if block.name is not None:
            path = Path(block.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        self._kinds[block.language](block)

    def tell(self, what: str) -> None:
        """Say in the test's output what was not run, and why."""
        print(f"{self._page}: {what}")

    def _run_python(self, block: Block) -> None:
        # Lines in a traceback are those of the page.
        code = compile("\n" * block.line + block.text, str(self._page), "exec")
        missing = self._lacks(block, code)
        if missing is None and (block.name is None or not Path(block.name).name.startswith("test_")):
            return
        self._missing |= _bound(block.text)
        _check_imports(block.text)
        self.tell(f"line {block.line} is compiled only, it needs {missing or 'pytest'}")

    def _lacks(self, block: Block, code: CodeType) -> str | None:
        """Run a block; return what it needs that is not here, None if it ran to its end."""
        try:
            if block.name is None:
                exec(code, self._names)
            else:
                _import_file(Path(block.name))
        except NameError as error:
            if error.name not in self._missing:
                raise
            return f"{error.name}, which a block before would have made"
        except Exception as error:
            missing = _missing_package(error)
            if missing is None:
                raise
            return missing
        return None


def _missing_package(error: BaseException | None) -> str | None:
    """Return the optional package whose absence is behind an error, if that is what it is."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    optional = {Requirement(text).name.replace("-", "_") for texts in extras.values() for text in texts} | _OTHERS
    optional |= {"lance"}
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in optional:
            return error.name
        error = error.__cause__ or error.__context__
    return None


def _import_file(path: Path) -> None:
    name = ".".join(path.with_suffix("").parts)
    if path.name.startswith("test_"):
        return
    importlib.invalidate_caches()
    sys.modules.pop(name, None)
    importlib.import_module(name)


def _bound(text: str) -> set[str]:
    """Return the names that a block gives to something."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
    return found


def _check_imports(text: str) -> None:
    """Compare what a block takes from the platform with what there is."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "image_assets":
            try:
                module = importlib.import_module(str(node.module))
            except ModuleNotFoundError as error:
                if _missing_package(error) is None:
                    raise
                continue
            names = [alias.name for alias in node.names]
            lost = [name for name in names if not hasattr(module, name) and not _is_module(f"{node.module}.{name}")]
            assert not lost, f"{node.module} has no {', '.join(lost)}"


def _is_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _run_sql(text: str) -> None:
    """Run statements over the sample dataset's tables; files without a folder lie in its store."""
    settings = load_settings(SAMPLE)
    with duckdb.connect() as connection:
        connection.execute(views_script(settings))
        connection.execute(f"SET file_search_path = '{settings.store}'")
        for statement in connection.extract_statements(text):
            connection.execute(statement).fetchall()


def _check_text(block: Block) -> None:
    found = re.search(r"^(?:\$ |image-assets |python |pip ).*", block.text, re.MULTILINE)
    assert found is None, f"a command in a block of text is never run: {found and found[0]}"
