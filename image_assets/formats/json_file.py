"""JSON: one array of objects, one object a line, UTF-8."""

import json
from pathlib import Path

from image_assets.formats.base import ExportOptions, SampleStream, Unit
from image_assets.formats.publishing import published_whole
from image_assets.formats.rows import iter_objects


class JsonFile:
    """Objects: ``filename, label, width, height, format``, perhaps ``variant``, ``frame``, ``extra``, ``image_array``.

    A sample without label or extra columns has ``null`` there; ``extra`` is an object, ``image_array`` nested lists,
    height by width by channels.
    """

    suffix = ".json"
    other_suffixes: tuple[str, ...] = ()
    encoded = False
    always_pixels = False
    value_bytes = (3.6, 20.0, 17.0)
    unit: Unit = "file"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a JSON file.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the images cannot be normalised as asked.
        """
        with published_whole(target) as part, part.open("w", encoding="utf-8", newline="") as file:
            separator = "[\n"
            for values in iter_objects(samples, options):
                file.write(separator)
                file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")))
                separator = ",\n"
            file.write("\n]\n" if separator == ",\n" else "[]\n")
