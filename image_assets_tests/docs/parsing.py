"""Commands that are not run: whatever of them can be known here is compared with the program they name."""

import argparse
import importlib
import importlib.util
import json
import re
import runpy
import sys
import tomllib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import botocore.session
import click
from botocore import xform_name
from botocore.validate import ParamValidator
from packaging.requirements import Requirement

from image_assets.cli import main
from image_assets_tests.docs.markdown import ROOT

# The program, where its own command line is defined, and where a reader gets it when it is not installed.
DAGSTER_PROGRAMS = {
    "dagster": ("dagster._cli", "cli"),
    "dagster-webserver": ("dagster_webserver.cli", "cli"),
    "dagster-daemon": ("dagster._daemon.cli", "cli"),
    "dg": ("dagster_dg_cli.cli", "cli"),
    "create-dagster": ("create_dagster.cli", "cli"),
}
_FILE_OPTIONS = {"-f", "--file", "--values", "-c", "-w", "--env-file", "--build-arg-file", "--config"}


def check_own_program(words: Sequence[str]) -> None:
    """Compare a line of the platform's program with its commands and options."""
    _parse(main, words[1:], "image-assets")


def check_dagster_program(words: Sequence[str]) -> None:
    """Compare a line of one of Dagster's programs with its options, and what it names with what is there."""
    module, attribute = DAGSTER_PROGRAMS[words[0]]
    # Where a variable says where something is, that is not known here.
    words = [str(ROOT / "workspace.yaml") if "$" in word else word for word in words]
    if importlib.util.find_spec(module.partition(".")[0]) is not None:
        _parse(getattr(importlib.import_module(module), attribute), words[1:], words[0])
    for option, value in pairwise(words):
        if option in {"-m", "--module-name"}:
            assert importlib.util.find_spec(value) is not None, f"there is no module {value}"


def check_test_module(words: Sequence[str]) -> None:
    """Compare ``python -m image_assets_tests.…`` with the arguments that the module takes."""
    module = words[2]
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"there is no module {module}"
    if module == "image_assets_tests":
        # What it is given goes to pytest.
        return
    package = importlib.util.find_spec(f"{module}.__main__") if spec.submodule_search_locations is not None else spec
    assert package is not None, f"{module} cannot be run"
    with patch.object(sys, "argv", list(words[2:])), patch.object(argparse.ArgumentParser, "parse_args", _parse_only):
        try:
            runpy.run_module(module, run_name="__main__")
        except _ParsedError:
            return
    raise AssertionError(f"{module} does not parse its arguments")


def check_pytest(words: Sequence[str]) -> None:
    """Compare what pytest is given with the tests there are."""
    for word in words[1 + (words[1:2] == ["-m"]) * 2 :]:
        if not word.startswith("-") and ("/" in word or word.endswith(".py")):
            assert Path(word).exists() or (ROOT / word).exists(), f"there are no tests {word}"


def check_pip(words: Sequence[str]) -> None:
    """Compare what pip is told to install with the extras there are."""
    assert "install" in words, f"only `pip install` is known: {words}"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    rest = list(words[words.index("install") + 1 :])
    while rest:
        word = rest.pop(0)
        if word in {"-c", "--constraint", "-r", "--requirement"}:
            assert (ROOT / rest.pop(0)).exists()
        elif not word.startswith("-"):
            local = re.fullmatch(r"(?:\.|/?[\w./-]+/)(?:\[([\w,-]+)\])?", word)
            wanted = Requirement(word) if local is None else Requirement(f"image-assets[{local[1] or ''}]")
            if wanted.name.replace("_", "-") == "image-assets":
                assert wanted.extras <= extras.keys(), f"no such extra: {sorted(wanted.extras - extras.keys())}"


def check_aws(words: Sequence[str]) -> None:
    """Compare a line of Amazon's program with the service's own description, and files with what it takes."""
    service = {"s3api": "s3"}.get(words[1], words[1])
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    assert words[2] in operations, f"{words[1]} knows no {words[2]}"
    members = model.operation_model(operations[words[2]]).input_shape.members
    options = {xform_name(name, "-"): shape for name, shape in members.items()}
    for option, value in zip(words[3:], [*words[4:], ""], strict=False):
        if option.startswith("--"):
            name = option.removeprefix("--")
            assert name in options, f"{words[2]} knows no {option}"
            if value.startswith("file://"):
                content = json.loads(Path(value.removeprefix("file://")).read_text())
                report = ParamValidator().validate(content, options[name])
                assert not report.has_errors(), report.generate_report()


def check_files(words: Sequence[str]) -> None:
    """Compare the files that another program is given with those there are."""
    for option, value in pairwise(words):
        if option in _FILE_OPTIONS and not value.startswith(("http", "/", "-", "$")):
            assert Path(value).exists() or (ROOT / value).exists(), f"there is no file {value}"


def _parse(command: click.Command, words: Sequence[str], name: str) -> None:
    """Take a command line apart as the program itself would, and stop there."""
    try:
        context = command.make_context(name, list(words))
    except click.exceptions.Exit:
        return
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if rest:
            found_name, found, rest = command.resolve_command(context, rest)
            assert found is not None
            _parse(found, rest, str(found_name))


class _ParsedError(Exception):
    """The arguments are understood; nothing more is wanted."""


_parse_args: Callable[..., Any] = argparse.ArgumentParser.parse_args


def _parse_only(parser: argparse.ArgumentParser, *arguments: Any, **named: Any) -> None:
    _parse_args(parser, *arguments, **named)
    raise _ParsedError
