"""The lines of shell on a page: what of them is run, and how, and what is only compared with what it names."""

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from image_assets.cli import main
from image_assets_tests.docs.commands import Command, commands_of
from image_assets_tests.docs.parsing import (
    DAGSTER_PROGRAMS,
    check_aws,
    check_dagster_program,
    check_files,
    check_own_program,
    check_pip,
    check_pytest,
    check_test_module,
)

# Programs that every system has; a line with one of them is given to bash.
COMMON = {
    "awk", "base64", "basename", "cat", "cd", "chmod", "cp", "cut", "date", "diff", "dirname", "du", "echo", "env",
    "export", "false", "file", "find", "grep", "gunzip", "gzip", "head", "jq", "ls", "mkdir", "mv", "open",
    "printf", "pwd", "rm", "sed", "sha256sum", "sleep", "sort", "tail", "tar", "tee", "test", "touch", "tr", "true",
    "uniq", "unset", "unzip", "wc", "xargs", "zip",
}  # fmt: skip
# What a test cannot run, and why; that the files they name are there is tested.
NOT_RUN = {
    "it needs a container engine": ("docker", "podman"),
    "it needs a cluster": ("kubectl", "helm", "ray", "spark-submit"),
    "it changes the system": ("htpasswd", "openssl", "apt-get", "npm", "brew", "sudo", "systemctl"),
    "it speaks to a server": ("curl", "psql", "nginx", "otelcol", "prometheus", "promtool", "ssh"),
    "it is a person's": ("git", "$EDITOR", "xdg-open", "duckdb", "crontab", "source", "."),
    "it makes or judges an environment": ("uv", "pip-audit", "pip-licenses", "lint-imports", "ruff", "mypy"),
}
_REASONS = {program: reason for reason, programs in NOT_RUN.items() for program in programs}
_CHECKED: dict[str, tuple[Callable[[Sequence[str]], None], str]] = {
    "pip": (check_pip, "it changes the environment"),
    "aws": (check_aws, "it asks a cloud"),
    "pytest": (check_pytest, "tests are run by themselves"),
    **dict.fromkeys(DAGSTER_PROGRAMS, (check_dagster_program, "Dagster has tests of its own here")),
}
# Options of the platform's own program with which it does not end.
ENDLESS = {"--serve", "--watch", "--follow"}
_REMOTE = re.compile(r"(?:s3|gs|az|abfs|hf|https?|ray|tcp|spark)://(?!127\.0\.0\.1)")
_WORKERS = ("--workers", "--num-workers")
_PYTHONS = {"python", "python3"}


class Shell:
    """Runs the lines of one page in its project; what one leaves in the environment the next ones find."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, told: Callable[[str], None]) -> None:
        self._home, self._patch, self._told = home, patch, told

    def run(self, text: str) -> None:
        """Run one block, and come back to the folder where it began."""
        began = Path.cwd()
        for command in commands_of(text):
            self._run(command)
        self._patch.chdir(began)

    def _run(self, command: Command) -> None:
        reasons = [self._checked(stage) for stage in command.stages]
        if any(reasons):
            self._told(f"not run, {next(filter(None, reasons))}: {command.text}")
        elif command.plain and len(command.stages) == 1 and command.words and _is_own(command.words):
            self._run_own(command)
        else:
            self._run_in_bash(command)

    def _checked(self, command: Command) -> str | None:
        """Return why a command is not run, after comparing it with what it names; None if it is to be run."""
        words = _short(command.words)
        if not words:
            # Something is assigned, and nothing run.
            return None
        program, module = words[0], words[2] if words[1:2] == ["-m"] else None
        if _is_own(words):
            endless = ENDLESS & set(words)
            if not endless and not any(_REMOTE.search(word) for word in words):
                return None
            check_own_program(words if module is None else words[2:])
            return "it does not end" if endless else "it names another machine"
        if program in _PYTHONS:
            return _checked_python(words, module)
        if program in _CHECKED or program in _REASONS:
            check, reason = _CHECKED.get(program) or (check_files, _REASONS[program])
            check(words)
            return reason
        assert program in COMMON, f"{program} is no program that pages may use; see image_assets_tests/docs/shell.py"
        return None

    def _run_own(self, command: Command) -> None:
        words = _with_workers(_short(command.words))
        arguments = [str(self._home) + word[1:] if re.match(r"~(/|$)", word) else word for word in words]
        done = CliRunner().invoke(main, arguments, prog_name="image-assets", env=dict(command.environment))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        _judge(command, done.exit_code, done.stdout, done.stderr)

    def _run_in_bash(self, command: Command) -> None:
        left = self._home / ".left"
        script = f"{command.text}\ncode=$?\n{{ printf 'PWD_AFTER=%s\\0' \"$PWD\"; env -0; }} > '{left}'\nexit $code"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
        _judge(command, done.returncode, done.stdout, done.stderr)
        after = dict(line.split("=", 1) for line in left.read_text().split("\0") if line)
        self._patch.chdir(after.pop("PWD_AFTER"))
        for name in after.keys() - {"_", "SHLVL", "PWD", "OLDPWD"}:
            if os.environ.get(name) != after[name]:
                self._patch.setenv(name, after[name])


def _checked_python(words: Sequence[str], module: str | None) -> str | None:
    if module is None:
        # A script of the page's own, or a line of Python.
        return None
    if module in {"venv", "pip"}:
        if module == "pip":
            check_pip(words)
        return "it makes an environment"
    if module == "pytest":
        check_pytest(words)
        return "tests are run by themselves"
    if module.startswith("image_assets_tests"):
        check_test_module(words)
        return "it takes minutes"
    assert module in {"json.tool", "http.server"}, f"python -m {module} is nothing that pages may use"
    return "it does not end" if module == "http.server" else None


def _short(words: Sequence[str]) -> list[str]:
    """Return the words with a program of the environment by its name alone."""
    return [words[0].removeprefix(".venv/bin/"), *words[1:]] if words else []


def _is_own(words: Sequence[str]) -> bool:
    words = _short(words)
    return words[0] == "image-assets" or (words[0] in _PYTHONS and list(words[1:3]) == ["-m", "image_assets"])


def _with_workers(words: Sequence[str]) -> list[str]:
    """Return the program's arguments; without processes of their own, where the page says nothing of them."""
    arguments = list(words[1:] if words[0] == "image-assets" else words[3:])
    command: click.Command | None = main
    for word in arguments:
        if not isinstance(command, click.Group):
            break
        command = command.commands.get(word, command)
    options = {name for parameter in getattr(command, "params", []) for name in parameter.opts}
    if {"-h", "--help", *_WORKERS} & set(words):
        return arguments
    return [*arguments, *(word for name in _WORKERS if name in options for word in (name, "0"))]


def _judge(command: Command, code: int, stdout: str, stderr: str) -> None:
    said = f"{command.text}\nended with {code}, not {command.exit_code}\n{stdout[-3000:]}\n{stderr[-3000:]}"
    assert code == command.exit_code, said
    # Progress of what takes long is written there as well.
    assert "Traceback" not in stderr, said
    print(f"$ {command.text}\n{stdout}")
