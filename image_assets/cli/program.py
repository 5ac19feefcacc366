"""What the program says: answers as text or as one JSON object, tables, and how it ends."""

import json
import re
import shutil
import sys
import unicodedata
from typing import Any

import click

from image_assets.core.plain_text import printable
from image_assets.core.words import size

EXIT_FAILURE, EXIT_USAGE, EXIT_PARTIAL, EXIT_INTERRUPTED = 1, 2, 3, 130
# The key under which --quiet stands in click's context.
QUIET = "image_assets.quiet"
_COLOURS = {
    **dict.fromkeys(("success", "ok", "passed", "published"), "green"),
    **dict.fromkeys(("partial failure", "warn", "warning", "unknown"), "yellow"),
    **dict.fromkeys(("failure", "fail", "failed", "error", "refused"), "red"),
}
_LEAST_WIDTH = 8
# With less than this of a key or a sentence nobody knows which it is.
_LEAST_LEFT = 24
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?\+00:00")


def show(summary: dict[str, Any], *, as_json: bool) -> None:
    """Print an answer: one line a name, or one JSON object; with --quiet the latter alone."""
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=True))
        return
    if is_quiet():
        return
    width = max(len(name) for name in summary)
    for name, value in summary.items():
        click.echo(f"{name:<{width}}  {coloured(_told(name, value))}")


def show_table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Print rows below each other, a column each; what cannot be printed in one line is escaped.

    On a terminal moments and digests are short, and where it is too narrow the widest columns are shortened in the
    middle; where little would be left of them, each row is told in lines of its own. Into a pipe all of it goes.
    """
    if is_quiet():
        return
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    texts = [[_brief(name, _cell(row[name])) if on_terminal else _cell(row[name]) for name in columns] for row in rows]
    full = [max(_width(line[at]) for line in [columns, *texts]) for at in range(len(columns))]
    widths = _narrowed(full, shutil.get_terminal_size().columns or _LEAST_WIDTH * 10) if on_terminal else full
    if any(width < min(needed, _LEAST_LEFT) for width, needed in zip(widths, full, strict=True)):
        _show_one_by_one(texts, columns)
        return
    _show_line(columns, widths, plain=True)
    for line in texts:
        _show_line(line, widths)
    if on_terminal and not rows:
        click.echo("(none)")


def _show_line(texts: list[str], widths: list[int], *, plain: bool = False) -> None:
    cells = []
    for text, width in zip(texts, widths, strict=True):
        short = _shortened(text, width)
        cells.append((short if plain else coloured(short)) + " " * max(0, width - _width(short)))
    click.echo("  ".join(cells).rstrip())


def _show_one_by_one(texts: list[list[str]], columns: list[str]) -> None:
    width = max(map(len, columns))
    for number, line in enumerate(texts):
        if number:
            click.echo()
        for name, text in zip(columns, line, strict=True):
            click.echo(f"{name:<{width}}  {coloured(text)}")


def exit_with_status(pipeline_status: str) -> None:
    """End the program with the exit code of a run."""
    sys.exit({"success": 0, "partial failure": EXIT_PARTIAL, "failure": EXIT_FAILURE}[pipeline_status])


def say(text: str = "") -> None:
    """Print a line, unless --quiet was given."""
    if not is_quiet():
        click.echo(text)


def is_quiet() -> bool:
    """Return whether --quiet was given."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(QUIET))


def coloured(text: str) -> str:
    """Return a word that says how something stands in its colour, anything else as it is; click drops it in pipes."""
    return click.style(text, fg=_COLOURS[text]) if text in _COLOURS else text


def _told(name: str, value: Any) -> str:
    """Return a value in words: nothing as -, many bytes also in units that people know."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items()) or "-"
    if name.endswith("_bytes") and isinstance(value, int) and value >= 10**6:
        return f"{value} ({size(value)})"
    return "-" if value is None or value == "" else str(value)


def _cell(value: Any) -> str:
    return "-" if value is None else printable(str(value))


def _brief(column: str, text: str) -> str:
    """Return a moment to the minute, and as much of a digest as names it."""
    if found := _MOMENT.fullmatch(text):
        return f"{found[1]} {found[2]}Z"
    return text[:8] if column == "digest" else text


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _narrowed(widths: list[int], columns: int) -> list[int]:
    widths = list(widths)
    while sum(widths) + 2 * (len(widths) - 1) > columns and max(widths) > _LEAST_WIDTH:
        over = sum(widths) + 2 * (len(widths) - 1) - columns
        at = widths.index(max(widths))
        # Down to the next widest, so that columns of one width stay so.
        next_widest = max([width for width in widths if width < widths[at]], default=_LEAST_WIDTH)
        widths[at] = max(widths[at] - over, min(next_widest, widths[at] - 1), _LEAST_WIDTH)
    return widths


def _shortened(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    # Of a key the end says more than the middle.
    keep = width - 2
    return f"{text[: keep - keep // 2]}..{text[len(text) - keep // 2 :]}"
