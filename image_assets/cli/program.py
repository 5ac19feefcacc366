"""The program's frame: errors as one line and an exit code, answers as text or as one JSON object."""

import json
import sys
from typing import Any

import click

from image_assets.core.errors import ConfigError, ImageAssetsError

EXIT_FAILURE, EXIT_USAGE, EXIT_PARTIAL = 1, 2, 3


class Program(click.Group):
    """Turns the platform's errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _complain(error)
            ctx.exit(EXIT_USAGE)
        except BrokenPipeError:
            # Who reads the answer has enough (`| head`); click ends without a word.
            raise
        except (ImageAssetsError, OSError) as error:
            _complain(error)
            ctx.exit(EXIT_FAILURE)


def show(summary: dict[str, Any], *, as_json: bool) -> None:
    """Print an answer: one line a name, or one JSON object."""
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=True))
        return
    width = max(len(name) for name in summary)
    for name, value in summary.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        click.echo(f"{name:<{width}}  {text}")


def show_table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Print rows below each other, a column each; what cannot be printed in one line is escaped."""
    texts = [[_cell(row[name]) for name in columns] for row in rows]
    widths = [max(len(line[at]) for line in [columns, *texts]) for at in range(len(columns))]
    for line in [columns, *texts]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def exit_with_status(pipeline_status: str) -> None:
    """End the program with the exit code of a run."""
    sys.exit({"success": 0, "partial failure": EXIT_PARTIAL, "failure": EXIT_FAILURE}[pipeline_status])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))


def _complain(error: Exception) -> None:
    click.echo(f"image-assets: {' '.join(str(error).split())}", err=True)
