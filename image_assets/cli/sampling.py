"""Commands on a stable sample: writing it, and a short report on it."""

from dataclasses import asdict
from typing import Any

import click

from image_assets.cli.help import command
from image_assets.cli.options import dataset_options, json_option, settings_from
from image_assets.cli.program import say, show
from image_assets.core.errors import ConfigError
from image_assets.core.plain_text import shown


@command()
@dataset_options
@click.option("--fraction", type=float, required=True, metavar="0-1", help="How much of the dataset; 0.1 is a tenth.")
@click.option("--out", metavar="FILE_OR_DIR", help="Where to write it, as --output of `run`; .txt: its keys alone.")
@click.option("--format", "format_name", metavar="NAME", help="Format of --out, where no suffix says it: files")
@click.option("--image-array", is_flag=True, help="Put pixels into a CSV, JSON or Parquet --out.")
@json_option
def sample(
    fraction: float, out: str | None, format_name: str | None, image_array: bool, as_json: bool, **options: Any
) -> None:
    """Write a stable sample of the dataset, or print its keys.

    What is in it is told from the bytes of each image alone: it stays in as the dataset grows, and a larger sample has
    all of a smaller one. Copies and variants of an image are in it together.

    \b
    image-assets sample --fraction 0.1                  # the keys, one a line
    image-assets sample --fraction 0.5 --out half.tar
    image-assets sample --fraction 0.5 --out keys.txt
    """
    from image_assets.formats.base import ExportOptions
    from image_assets.pipeline.export_size import size_note
    from image_assets.pipeline.exporting import ExportTarget, refuse_mixing
    from image_assets.pipeline.reading import open_dataset
    from image_assets.pipeline.sampling import keys_of_sample, keys_path, write_sample

    settings = settings_from(options)
    if out is None and (image_array or format_name is not None):
        raise ConfigError("--format and --image-array say how --out is written; give it too")
    if out is None:
        with open_dataset(settings.store) as dataset:
            keys = list(keys_of_sample(dataset, fraction))
        show({"dataset": settings.name, "fraction": fraction, "keys": keys}, as_json=True) if as_json else _print(keys)
        return
    target = keys_path(out) if format_name is None else None
    if target is None:
        files = ExportTarget.parse(out, ExportOptions(image_array), format_name)
        refuse_mixing(settings, files)
        if (note := size_note(settings.store, files, fraction)) is not None:
            click.echo(f"image-assets: {note}", err=True)
    report = asdict(write_sample(settings.store, fraction, target or files))
    show({**report, "output": [str(path) for path in report["output"]]}, as_json=as_json)


@command()
@dataset_options
@click.option("--fraction", type=float, default=1.0, metavar="0-1", help="Of a stable sample of this size [1: all].")
@json_option
def analyze(fraction: float, as_json: bool, **options: Any) -> None:
    """Print a short report: counts, labels, sizes, formats, failures.

    What is there of the newest state, without measuring anything. Brightness and the like are there when
    `image-assets quality` has measured the newest state.

    \b
    image-assets analyze
    image-assets analyze --fraction 0.5 --json
    """
    from image_assets.pipeline.analysis import analyze_dataset

    report = analyze_dataset(settings_from(options), fraction)
    show(report if as_json else {name: _in_words(value) for name, value in report.items()}, as_json=as_json)


def _print(keys: list[str]) -> None:
    for key in keys:
        say(key)


def _in_words(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return ", ".join(f"{shown(name) or '(none)'} {count:g}" for name, count in value.items()) or "-"
