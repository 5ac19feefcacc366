"""What stands in code font on a page: commands, options, settings, files and variables that must exist."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import click
from pydantic import BaseModel

from image_assets.cli import main
from image_assets.settings import Settings
from image_assets_tests.docs.markdown import ROOT, code_of, tables_of
from image_assets_tests.docs.parsing import check_dagster_program, check_pip, check_test_module

_PATH = re.compile(r"(?:image_assets|image_assets_tests|data|\.ci)(?:/[\w.-]+)+/?")
# A line of a program that is known here, perhaps with variables before it.
_CHECKED = re.compile(
    r"(?:[A-Z_]+=\S+ )*(pip|python -m(?= image_assets_tests)|dagster|dagster-webserver|dagster-daemon|dg) (?=\S+ )"
)
_VARIABLE = re.compile(r"IMAGE_ASSETS_[A-Z_]+")
_NAMED = re.compile(r"[a-z_.0-9]+")
_SETTING = re.compile(r"[a-z_]+(?:\.[a-z_0-9]+)+")
# Made by the platform, Dagster and the reader.
_MADE = ("data/store", "data/dagster", "data/logs", "data/datasets/", "data/photos/")
# In the store a name with one of these is a file, in code a module.
_SUFFIXES = {"parquet", "json", "ndjson", "xml", "html", "npy", "h5", "yaml", "csv", "txt", "tar", "log", "sql", "prom"}


def wrong_claims(text: str) -> Iterator[str]:
    """Yield what a page says that is not so."""
    for line, code in code_of(text):
        for wrong in _wrong_code(code):
            yield f"line {line}: `{code}`: {wrong}"
    for line, rows in tables_of(text):
        for row in rows:
            if (
                "setting" in row
                and _NAMED.fullmatch(name := row["setting"].strip("`"))
                and (wrong_row := _wrong_row(name, row))
            ):
                yield f"line {line}: {wrong_row}"


def _wrong_code(code: str) -> Iterator[str]:
    if code.startswith("image-assets "):
        yield from _wrong_command(code)
    elif program := _CHECKED.match(code):
        yield from _wrong_line(code, program[1])
    elif _PATH.fullmatch(code) and not code.startswith(_MADE) and _is_lost(code):
        yield "there is no such file"
    elif _SETTING.fullmatch(code) and _looks_like_a_setting(code) and field_of(code) is None:
        yield "there is no such setting"
    for variable in _VARIABLE.findall(code):
        if variable not in _sources():
            yield f"nothing reads {variable}"


def _wrong_line(code: str, program: str) -> Iterator[str]:
    """Yield what another program would not take; what is written with dots is not whole."""
    words = shlex.split(code[code.index(program) :].partition(" && ")[0])
    check = {"pip": check_pip, "python -m": check_test_module}.get(program, check_dagster_program)
    if "…" not in code:
        try:
            # What a command still asks for is left out where a sentence only names it.
            with suppress(click.MissingParameter):
                check(words)
        except (AssertionError, SystemExit, click.ClickException) as error:
            yield f"is not what {program} takes: {error}"


def _wrong_command(code: str) -> Iterator[str]:
    command: click.Command = main
    words = shlex.split(code.replace("…", " "))[1:]
    options = {name for parameter in main.params for name in parameter.opts} | {"--help", "-h"}
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word not in command.commands:
                yield f"there is no command {word}"
                return
            command = command.commands[word]
            options |= {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        elif word.startswith("--") and word.partition("=")[0] not in options:
            yield f"there is no option {word}"


def _is_lost(path: str) -> bool:
    # Without a suffix it may be a tag of a run.
    return ("." in path or path.endswith("/")) and not (ROOT / path).exists()


def _looks_like_a_setting(code: str) -> bool:
    section, *rest = code.split(".")
    field = Settings.model_fields.get(section)
    return field is not None and _model_in(field.annotation) is not None and rest[-1] not in _SUFFIXES


def field_of(name: str) -> Any:
    """Return the field of the settings that a dotted name means, None if there is none."""
    section: type[BaseModel] | None = Settings
    field = None
    for part in name.split("."):
        if section is None or part not in section.model_fields:
            return None
        field = section.model_fields[part]
        section = _model_in(field.annotation)
    return field


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Union, UnionType, tuple, list} or hasattr(annotation, "__metadata__"):
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    return None


def _wrong_row(name: str, row: dict[str, str]) -> str | None:
    """Return what a table of settings says of one that is not so."""
    field = field_of(name)
    if field is None:
        return f"there is no setting {name}"
    said = row.get("default", "").replace("`", "").strip("[]() ")
    if not said or field.is_required():
        return None
    real = field.default
    texts = {str(real), str(real).lower(), f"{real:,}" if isinstance(real, int) else str(real)}
    texts |= {"none", "-"} if real is None else set()
    texts |= {", ".join(map(str, real))} if isinstance(real, tuple) else set()
    return None if said in texts else f"the default of {name} is {real}, not {said}"


@cache
def _sources() -> str:
    folders = [ROOT / "image_assets", ROOT / "image_assets_tests", ROOT / "data/deploy", ROOT / ".ci"]
    kinds = {".py", ".yaml", ".sh", ".example", ""}
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix in kinds]
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths if _is_source(path))


def _is_source(path: Path) -> bool:
    return "__pycache__" not in path.parts
