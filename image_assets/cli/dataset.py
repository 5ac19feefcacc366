"""Commands that bring a dataset up to date and say how it stands."""

import sys
from typing import Any

import click

from image_assets.cli.options import dataset_options, deletes_option, json_option, settings_from
from image_assets.cli.program import EXIT_FAILURE, exit_with_status, show
from image_assets.core.errors import ConfigError


@click.command()
@dataset_options
@click.option("--output", metavar="FILE_OR_DIR", help="Also write the dataset there; the suffix decides the format.")
@click.option("--format", "format_name", metavar="NAME", help="Format of --output, where no suffix says it: files, …")
@click.option("--image-array", is_flag=True, help="Put pixels into a CSV, JSON or Parquet --output.")
@click.option(
    "--normalize",
    type=click.Choice(["none", "0-1", "-1-1", "imagenet", "dataset"]),
    default="none",
    help="Pixels of an --output as float32: 0 to 1, -1 to 1, or by the mean and deviation of ImageNet, of the dataset.",
)
@click.option(
    "--dtype", "real", type=click.Choice(["float32", "float16"]), default="float32", help="Type of what is normalised."
)
@click.option("--recheck", is_flag=True, help="Look into every shard, also where nothing changed.")
@deletes_option
@json_option
def run(output: str | None, recheck: bool, allow_deletes: bool, as_json: bool, **options: Any) -> None:
    """Bring a dataset in line with its source; only what changed is done.

    \b
    image-assets run --input ~/photos --output photos.csv --image-size 128
    image-assets run --input ~/photos --output tensors.h5 --normalize 0-1 --dtype float16 --features none
    image-assets run --input ~/photos --output preproc/ --format files

    Exit code 0: success, 3: partial failure, 1: failure, 2: usage.
    """
    from image_assets.formats.base import ExportOptions
    from image_assets.pipeline.detect import RunOptions
    from image_assets.pipeline.export_size import size_note
    from image_assets.pipeline.exporting import ExportTarget, export_dataset, refuse_mixing
    from image_assets.pipeline.quality import build_quality
    from image_assets.pipeline.summary import run_summary

    settings = settings_from(options)
    how = ExportOptions(options["image_array"], options["normalize"], options["real"])
    if output is None and (how != ExportOptions() or options["format_name"] is not None):
        raise ConfigError("--format, --image-array, --normalize and --dtype say how --output is written; give it too")
    target = ExportTarget.parse(output, how, options["format_name"]) if output else None
    if target is not None:
        refuse_mixing(settings, target)
    summary, report = run_summary(settings, RunOptions(allow_deletes, recheck), progress=not as_json)
    if target is not None and report.index is not None:
        if options["normalize"] == "dataset":
            # Its mean is of what was measured; only what is new since then is.
            build_quality(settings)
        if (note := size_note(settings.store, target)) is not None:
            click.echo(f"image-assets: {note}", err=True)
        summary["output"] = [str(path) for path in export_dataset(settings.store, target)]
    show(summary, as_json=as_json)
    exit_with_status(summary["pipeline_status"])


@click.command()
@dataset_options
@deletes_option
@json_option
def plan(allow_deletes: bool, as_json: bool, **options: Any) -> None:
    """Say what `run` would do; write nothing."""
    from image_assets.pipeline.detect import RunOptions
    from image_assets.pipeline.summary import plan_summary

    show(plan_summary(settings_from(options), RunOptions(allow_deletes)), as_json=as_json)


@click.command()
@dataset_options
@json_option
def status(as_json: bool, **options: Any) -> None:
    """Say what the dataset holds; the source is not looked at."""
    from image_assets.pipeline.summary import status_summary

    show(status_summary(settings_from(options)), as_json=as_json)


@click.command()
@dataset_options
@json_option
def digest(as_json: bool, **options: Any) -> None:
    """Print the dataset's digest: equal digests mean equal datasets."""
    from image_assets.pipeline.summary import status_summary

    summary = status_summary(settings_from(options))
    if as_json:
        show({"dataset": summary["dataset"], "digest": summary["digest"]}, as_json=True)
    else:
        click.echo(summary["digest"])


@click.command()
@dataset_options
@json_option
def verify(as_json: bool, **options: Any) -> None:
    """Re-read every segment and recompute every hash."""
    from image_assets.pipeline.summary import verify_summary

    summary = verify_summary(settings_from(options), progress=not as_json)
    show(summary, as_json=as_json)
    sys.exit(EXIT_FAILURE if summary["problems"] else 0)
