"""JSON Lines: one object a line, UTF-8."""

import json
from pathlib import Path

from image_assets.formats.base import ExportOptions, SampleStream, Unit
from image_assets.formats.publishing import published_whole
from image_assets.formats.rows import iter_objects


class JsonlFile:
    """The objects of :mod:`~image_assets.formats.json_file`, one a line; a file can be cut and joined at any line."""

    suffix = ".jsonl"
    other_suffixes: tuple[str, ...] = (".ndjson",)
    encoded = False
    always_pixels = False
    value_bytes = (3.6, 20.0, 17.0)
    unit: Unit = "file"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a JSON Lines file.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the images cannot be normalised as asked.
        """
        with published_whole(target) as part, part.open("w", encoding="utf-8", newline="") as file:
            for values in iter_objects(samples, options):
                file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")
