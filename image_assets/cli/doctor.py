"""`image-assets doctor`: what could keep a dataset from running, and what to do."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from image_assets.cli.help import command, option
from image_assets.cli.options import configs_option, json_option, named_settings_file
from image_assets.cli.place import settings_files_here
from image_assets.cli.program import EXIT_FAILURE, coloured, say, show
from image_assets.core.plain_text import printable

# What was found begins in this column, and lines end here at most.
_AT, _WIDTH = 28, 120


@command()
@configs_option
@option("--no-write", is_flag=True, help="Do not write a probe into the stores, not even for a moment.")
@option("--no-dagster", is_flag=True, help="Do not ask Dagster's instance, which takes some seconds.")
@json_option  # fmt: skip
def doctor(configs: tuple[str, ...], no_write: bool, no_dagster: bool, as_json: bool) -> None:
    """Look for what could keep a dataset from running.

    The machine and what is installed, the settings, the source, credentials, the store, clocks, room, leftovers of
    killed runs, and Dagster. Each line says ok, warn or fail, what was found, and what to do. No secret is printed.

    Nothing is changed. Into a store that there is, a file of some bytes is written and removed, to see whether it keeps
    its promises; --no-write leaves that out. Exit code 1: something failed.

    \b
    image-assets doctor --no-dagster
    image-assets doctor --config photos --no-write
    image-assets doctor --config photos --json
    """
    from image_assets.pipeline.doctor.examining import examine

    files = [named_settings_file(name) for name in configs] or settings_files_here()
    told: list[dict[str, str]] = []
    title = ""
    for of, finding in examine(files, write=not no_write, dagster=not no_dagster):
        told.append({"of": of, **asdict(finding)})
        if as_json:
            continue
        if of != title:
            say(f"{'' if not title else chr(10)}{of}")
            title = of
        _say(told[-1])
    failed = sum(line["level"] == "fail" for line in told)
    if as_json:
        show(
            {"failed": failed, "warned": sum(line["level"] == "warn" for line in told), "findings": told}, as_json=True
        )
    else:
        _sum_up(told, failed, files)
    sys.exit(EXIT_FAILURE if failed else 0)


def _say(line: dict[str, str]) -> None:
    width = max(min(shutil.get_terminal_size((_WIDTH, 0)).columns, _WIDTH), _AT + 20) - _AT
    rows = textwrap.wrap(printable(" ".join(line["found"].split())), width, break_on_hyphens=False) or [""]
    rows += textwrap.wrap(f"> {line['remedy']}", width, subsequent_indent="  ") if line["remedy"] else []
    say(f"  {coloured(line['level'])}{'':<{6 - len(line['level'])}}{line['subject']:<{_AT - 8}}{rows[0]}")
    for row in rows[1:]:
        say(f"{'':<{_AT}}{row}")


def _sum_up(told: list[dict[str, str]], failed: int, files: Sequence[Path]) -> None:
    warned = sum(line["level"] == "warn" for line in told)
    say()
    if not files:
        say("no settings file here; `image-assets init FOLDER` writes one")
    say(f"{len(told)} things looked at: {failed} failed, {warned} to think about")
