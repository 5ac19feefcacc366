"""CSV: one line a sample after a header, UTF-8, fields quoted where they must be."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from image_assets.formats.base import ExportOptions, SampleStream, Unit
from image_assets.formats.publishing import published_whole
from image_assets.formats.rows import column_names, iter_rows

_NEEDS_QUOTES = frozenset(',"\r\n')


class CsvFile:
    """``filename,label,width,height,format``, perhaps ``variant``, ``frame``, and ``extra``, ``image_array`` as JSON.

    A sample without label has an empty field. A reader built on Python's csv module has to raise
    ``csv.field_size_limit`` for ``image_array``.
    """

    suffix = ".csv"
    other_suffixes: tuple[str, ...] = ()
    encoded = False
    always_pixels = False
    value_bytes = (3.6, 20.0, 17.0)
    unit: Unit = "file"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a CSV file.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the images cannot be normalised as asked.
        """
        with published_whole(target) as part, part.open("w", encoding="utf-8", newline="") as file:
            file.write(csv_line(column_names(samples, options)))
            for row in iter_rows(samples, options):
                file.write(csv_line(row))


def csv_line(values: Iterable[Any]) -> str:
    """Return one line of a CSV file."""
    # Not csv.writer: up to Python 3.12 it leaves a lone carriage return bare when lines end in a newline alone, and
    # lines that end in both would surprise `cut` and `awk`.
    return ",".join([_field(value) for value in values]) + "\n"


def _field(value: str | int | list[Any] | None) -> str:
    if value is None:
        return ""
    text = json.dumps(value, separators=(",", ":")) if isinstance(value, list) else str(value)
    # An empty text is quoted, so that readers who look can tell it from a missing one.
    return text if text and _NEEDS_QUOTES.isdisjoint(text) else '"' + text.replace('"', '""') + '"'
