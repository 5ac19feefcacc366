"""`image-assets sql`: asking a store with SQL."""

import csv
import json
import sys
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_assets.cli.help import command
from image_assets.cli.options import dataset_options, output_options, settings_from
from image_assets.cli.program import show_table
from image_assets.core.errors import ConfigError

if TYPE_CHECKING:
    from image_assets.pipeline.warehouse import Answer

# The widths of columns are those of the first so many rows.
_SHOWN_AT_ONCE = 1000


@command()
@click.argument("query", required=False)
@dataset_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: columns, and rows as arrays.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header.")
@click.option("--write-views", metavar="FILE.sql", help="Write a file that makes the tables views in any DuckDB.")
@output_options
def sql(query: str | None, as_json: bool, as_csv: bool, write_views: str | None, **options: Any) -> None:
    """Ask the store with SQL (DuckDB).

    Nothing but its tables can be read, and nothing written. Tables: images, manifests (also of images that failed,
    with the reason), vectors, duplicates, check_results, snapshots, and whatever else was made of the newest index;
    `show tables` says which, `describe images` the columns.

    \b
    image-assets sql "select label, count(*) from images group by 1"
    image-assets sql "select reason, count(*) from manifests where status = 'failed' group by 1" --csv
    image-assets sql --write-views views.sql            # then: duckdb -init views.sql
    """
    from image_assets.pipeline.warehouse import asking
    from image_assets.pipeline.warehouse_views import views_script

    if (query is None) == (write_views is None):
        raise ConfigError("give a query, or --write-views FILE.sql")
    if as_json and as_csv:
        raise ConfigError("--json and --csv are two ways to print; give one")
    settings = settings_from(options)
    if write_views is not None:
        Path(write_views).expanduser().write_text(views_script(settings), encoding="utf-8")
        return
    with asking(settings, query or "") as answer:
        (_print_json if as_json else _print_csv if as_csv else _print_table)(answer)


def _print_table(answer: "Answer") -> None:
    # Two columns may have one name.
    names = [name if answer.columns.count(name) == 1 else f"{name}:{at}" for at, name in enumerate(answer.columns)]
    rows = answer.rows
    first = True
    while (part := list(islice(rows, _SHOWN_AT_ONCE))) or first:
        show_table([dict(zip(names, row, strict=True)) for row in part], names)
        first = False


def _print_csv(answer: "Answer") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows(chain([answer.columns], answer.rows))


def _print_json(answer: "Answer") -> None:
    # A piece at a time: the answer may be larger than memory.
    sys.stdout.write(json.dumps({"columns": answer.columns})[:-1] + ', "rows": [')
    sys.stdout.writelines(_json_rows(answer))
    sys.stdout.write("]}\n")


def _json_rows(answer: "Answer") -> Iterator[str]:
    for number, row in enumerate(answer.rows):
        yield (", " if number else "") + json.dumps([_plain(value) for value in row], default=str)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, which knows no numbers that are none."""
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return value.hex() if isinstance(value, bytes) else value
