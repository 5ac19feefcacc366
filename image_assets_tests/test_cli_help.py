"""Help that teaches, in every command: examples that parse, options in sections, what was meant by a typo."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from image_assets.cli import main
from image_assets.cli.help import Teaching, TeachingGroup, examples_of
from image_assets.cli.progress import Lines
from image_assets.core.sample import REASONS, WARNINGS
from image_assets.pipeline.progress import listening, stage
from image_assets_tests.images import write_images


def all_commands(group=main, words=()):
    for name, command in group.commands.items():
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from all_commands(command, (*words, name))


COMMANDS = dict(all_commands())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_teaches(words):
    command = COMMANDS[words]
    assert isinstance(command, (Teaching, TeachingGroup)), "give it cli.help.command in place of click.command"
    assert len(command.get_short_help_str(200)) <= 80
    assert len(examples_of(command)) >= 2
    done = CliRunner().invoke(main, [*words, "--help"], prog_name="image-assets", terminal_width=100)
    assert done.exit_code == 0
    assert "Examples:\n  image-assets " in done.output
    assert max(map(len, done.output.splitlines())) <= 110
    # Help is read on terminals of all kinds.
    assert done.output.isascii()


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=" ".join)
def test_every_example_is_a_command_line_that_there_is(words):
    for line in examples_of(COMMANDS.get(words, main)):
        arguments = shlex.split(line, comments=True)
        assert arguments.pop(0) == "image-assets"
        command, ctx = main, click.Context(main, info_name="image-assets")
        while isinstance(command, click.Group) and arguments[0] not in {"--help"}:
            command = command.commands[arguments.pop(0)]
            ctx = click.Context(command, parent=ctx, info_name=command.name)
        if "--help" not in arguments:
            command.parse_args(ctx, list(arguments))
        assert {word for at, word in enumerate(arguments) if arguments[at - 1] == "--reason"} <= {*REASONS, *WARNINGS}


def test_every_command_that_prints_can_be_quiet_and_without_colours():
    for words, command in COMMANDS.items():
        options = {name for param in command.params for name in param.opts}
        # A script for a shell, and numbers for Prometheus, are in a language of their own.
        if not isinstance(command, click.Group) and words not in {("completion",), ("metrics",)}:
            assert {"--quiet", "--color", "--json"} <= options, words


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["rnu"], "No such command 'rnu'; did you mean run"),
        (["labels", "exprot"], "did you mean export or import?"),
        (["zzzz"], "image-assets --help lists all"),
        (["run", "--inptu", "x"], "--input"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(typed, meant):
    done = CliRunner().invoke(main, typed, prog_name="image-assets")
    assert (done.exit_code, meant in done.stderr) == (2, True), done.stderr


def test_without_arguments_and_without_a_dataset_the_first_step_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [])
    assert (done.exit_code, "image-assets init ~/photos" in done.stdout) == (0, True)
    assert list(tmp_path.iterdir()) == []


NEVER_RUN = ["duplicates", "quality", "auto-labels", "status", "digest", "verify", "splits", "snapshots", "forget x",
             "similar x", "sample --fraction 0.5", "analyze", "reshard --to 4", "gc", "vacuum", "quarantine",
             "labels export --platform cvat --out out", "labels import --platform cvat x.xml", "diff 1 2",
             "sql 'select 1'"]  # fmt: skip


@pytest.mark.parametrize("line", NEVER_RUN)
def test_a_command_on_a_dataset_that_was_never_run_creates_nothing_and_says_to_run_it(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "raw", 2)
    (tmp_path / "x.xml").write_text("<annotations/>")
    done = CliRunner().invoke(main, [*shlex.split(line), "--input", "raw", "--store", "kept"])
    assert not (tmp_path / "kept").exists()
    assert "Traceback" not in done.stderr
    if done.exit_code:
        assert "materialize training_index first" not in done.stderr
        assert done.stderr.count("\n") == 1
    else:
        assert line.split()[0] in {"gc", "vacuum", "snapshots", "quarantine", "reshard"}


def test_a_word_is_the_name_of_a_dataset_and_several_must_be_chosen_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/datasets"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text(f"name: {name}\nsource: {{path: raw}}\nstore: ../{name}\n")
    (tmp_path / "one").mkdir()
    done = CliRunner().invoke(main, ["status"])
    assert (done.exit_code, "has 2 settings files; give one with --config: one, two" in done.stderr) == (2, True)
    assert "dataset 'one'" in CliRunner().invoke(main, ["status", "--config", "one"]).stderr
    assert "(there: one, two)" in CliRunner().invoke(main, ["status", "--config", "three"]).stderr
    (folder / "two.yaml").unlink()
    assert "dataset 'one'" in CliRunner().invoke(main, ["status"]).stderr


def test_quiet_prints_nothing_and_json_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "raw", 2)
    options = ["--input", "raw", "--features", "none", "--workers", "0"]
    for arguments in (["run", *options, "-q"], ["-q", "status", "--input", "raw"]):
        done = CliRunner().invoke(main, arguments)
        assert (done.exit_code, done.output) == (0, "")
    assert CliRunner().invoke(main, ["status", "--input", "raw", "-q", "--json"]).stdout.startswith("{")


@pytest.mark.parametrize(
    ("options", "environment", "coloured"),
    [([], {}, False), (["--color"], {}, True), (["--color"], {"NO_COLOR": "1"}, True), (["--no-color"], {}, False)],
)
def test_colours_are_for_terminals_or_on_request(tmp_path, monkeypatch, options, environment, coloured):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["run", "--input", "nowhere", *options], env=environment)
    assert ("\x1b[31m" in done.stderr) == coloured


def in_terminal(arguments, columns, cwd):
    """Run Python in a terminal of its own; return its exit code and what was seen, \\r as \\n."""
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    # Where it is set, it says how wide the terminal is in which the tests run.
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"PYTHONPATH": path}
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, cwd=cwd, env=environment
    )
    os.close(theirs)
    seen = b""
    while piece := _read(ours):
        seen += piece
    os.close(ours)
    return process.wait(timeout=60), seen.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _read(handle):
    try:
        return os.read(handle, 65536)
    except OSError:
        # The other end is closed.
        return b""


def test_a_terminal_sees_bars_with_rate_and_time_left_and_a_narrow_one_whole_lines(tmp_path):
    write_images(tmp_path / "raw", 8)
    code, seen = in_terminal(
        ["-m", "image_assets", "run", "--input", "raw", "--features", "none", "--workers", "0"], 70, tmp_path
    )
    assert code == 0, seen
    assert "preprocess:" in seen
    assert "images/s]" in seen
    assert "\x1b[32msuccess" in seen
    assert max(len(line) for line in seen.splitlines() if line.startswith("preprocess")) <= 70
    table = "from image_assets.cli.program import show_table as s; s([{'key': 'a/' * 40, 'n': 7}], ['key', 'n'])"
    code, seen = in_terminal(["-c", table], 40, tmp_path)
    assert (code, max(map(len, seen.splitlines()))) == (0, 40)
    assert seen.splitlines()[1].split() == ["a/a/a/a/a/a/a/a/a/../a/a/a/a/a/a/a/a/", "7"]


def test_a_terminal_too_narrow_for_a_table_gets_each_row_in_lines_of_its_own(tmp_path):
    row = {"failed": "b/" * 15, "at": "2026-11-22T00:18:49.734+00:00", "digest": "8b6dfb5a" * 8, "detail": "c" * 30}
    program = (
        f"from image_assets.cli.program import show_table as s; s([{row}], {list(row)}); print(); s([], ['failed'])"
    )
    code, seen = in_terminal(["-c", program], 50, tmp_path)
    assert (code, seen.splitlines()) == (0, [
        f"failed  {'b/' * 15}", "at      2026-11-22 00:18Z", "digest  8b6dfb5a", f"detail  {'c' * 30}", "",
        # The name of a column is no verdict: it has no colour.
        "failed", "(none)",
    ])  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("arguments", [["--help"], ["completion", "bash"]])
def test_an_answer_that_cannot_be_written_is_one_line_and_exit_code_1(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "image_assets", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    said = "image-assets: No space left on device; make room, then give the same command again\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_a_pipe_gets_a_line_of_progress_now_and_then(capsys):
    now = [0.0]
    with listening(Lines(lambda: now[0])), stage("preprocess", "images", total=1000) as told:
        for second in range(31):
            now[0] = float(second)
            told.advance(10)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "image-assets: preprocess: 110 of 1,000 images, 11/s, 81 s left".replace("81 s", "1 min"),
        "image-assets: preprocess: 210 of 1,000 images, 10/s, 1 min left",
        "image-assets: preprocess: 310 of 1,000 images, 10/s, 1 min left",
    ]


def test_what_a_terminal_cannot_show_is_escaped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner(charset="latin-1").invoke(main, ["init", ".", "--out", "日本.yaml"])
    assert (done.exit_code, rb"wrote   \u65e5\u672c.yaml" in done.stdout_bytes) == (0, True)


def test_bash_itself_completes_commands_options_values_and_datasets(tmp_path):
    folder = tmp_path / "data/datasets"
    folder.mkdir(parents=True)
    # The second is not offered: a shell would run what is in it.
    for name in ("shop", "shop$(touch here)"):
        (folder / f"{name}.yaml").write_text("name: shop\n")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/image-assets"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m image_assets "$@"\n')
    program.chmod(0o755)
    script = """eval "$(image-assets completion bash)"
    ask() {
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
      _image_assets_completion image-assets; echo "${COMPREPLY[*]}"
    }
    ask image-assets quar
    ask image-assets run --allow
    ask image-assets run --config sh
    ask image-assets quarantine --reason trunc
    ask image-assets labels ex"""
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["quarantine", "--allow-deletes", "shop", "truncated", "export"], done.stderr


def test_help_and_completion_import_nothing_heavy():
    code = (
        "import sys, image_assets.cli; from click.testing import CliRunner;"
        "CliRunner().invoke(image_assets.cli.main, ['run', '--help']);"
        "print({'numpy', 'pyarrow', 'PIL', 'pydantic', 'obstore', 'dagster', 'tqdm'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
