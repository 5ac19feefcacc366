"""What the program says: answers as text or as one JSON object, tables, and how it ends."""

import json
import shutil
import sys
import unicodedata
from typing import Any

import click

EXIT_FAILURE, EXIT_USAGE, EXIT_PARTIAL, EXIT_INTERRUPTED = 1, 2, 3, 130
# The key under which --quiet stands in click's context.
QUIET = "image_assets.quiet"
_COLOURS = {
    **dict.fromkeys(("success", "ok", "passed", "published"), "green"),
    **dict.fromkeys(("partial failure", "warn", "warning", "unknown"), "yellow"),
    **dict.fromkeys(("failure", "fail", "failed", "error", "refused"), "red"),
}
_LEAST_WIDTH = 8


def show(summary: dict[str, Any], *, as_json: bool) -> None:
    """Print an answer: one line a name, or one JSON object; with --quiet the latter alone."""
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=True))
        return
    if is_quiet():
        return
    width = max(len(name) for name in summary)
    for name, value in summary.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        click.echo(f"{name:<{width}}  {coloured(text)}")


def show_table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Print rows below each other, a column each; what cannot be printed in one line is escaped.

    On a terminal that is too narrow the widest columns are shortened in the middle; into a pipe all of it goes.
    """
    if is_quiet():
        return
    texts = [[_cell(row[name]) for name in columns] for row in rows]
    widths = [max(_width(line[at]) for line in [columns, *texts]) for at in range(len(columns))]
    if sys.stdout.isatty():
        widths = _narrowed(widths, shutil.get_terminal_size().columns or _LEAST_WIDTH * 10)
    for line in [columns, *texts]:
        cells = [_padded(_shortened(text, width), width) for text, width in zip(line, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def exit_with_status(pipeline_status: str) -> None:
    """End the program with the exit code of a run."""
    sys.exit({"success": 0, "partial failure": EXIT_PARTIAL, "failure": EXIT_FAILURE}[pipeline_status])


def say(text: str = "") -> None:
    """Print a line, unless --quiet was given."""
    if not is_quiet():
        click.echo(text)


def printable(text: str) -> str:
    """Return a text in one line, in which what a terminal would obey is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def is_quiet() -> bool:
    """Return whether --quiet was given."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(QUIET))


def coloured(text: str) -> str:
    """Return a word that says how something stands in its colour, anything else as it is; click drops it in pipes."""
    return click.style(text, fg=_COLOURS[text]) if text in _COLOURS else text


def _cell(value: Any) -> str:
    return "-" if value is None else printable(str(value))


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


def _padded(text: str, width: int) -> str:
    return coloured(text) + " " * max(0, width - _width(text))
