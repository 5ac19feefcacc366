"""Commands that bring a dataset up to date and say how it stands."""

import sys
from typing import Any

import click

from image_assets.cli.help import command
from image_assets.cli.options import (
    dataset_options,
    deletes_option,
    json_option,
    same_dataset,
    settings_from,
    wants_progress,
)
from image_assets.cli.program import EXIT_FAILURE, exit_with_status, is_quiet, say, show
from image_assets.cli.progress import drawn_progress
from image_assets.core.errors import ConfigError


@command()
@dataset_options
@click.option("--output", metavar="FILE_OR_DIR", help="Also write the dataset there; the suffix decides the format.")
@click.option("--format", "format_name", metavar="NAME",
    help="Format of an --output without suffix; files: a folder of images.")  # fmt: skip
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

    New and changed images are processed, then follow index, feature vectors and exports. A bad image stops nothing
    (`image-assets quarantine` lists it), and the next run goes on where a killed one ended. The source is never
    written to.

    \b
    image-assets run                                    # the dataset in data/datasets/
    image-assets run --input ~/photos --features none   # any folder; its state is kept in data/store/
    image-assets run --input ~/photos --output photos.csv --image-size 128
    image-assets run --input ~/photos --output tensors.h5 --normalize 0-1 --dtype float16
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
    with drawn_progress(shown=wants_progress(as_json=as_json)):
        summary, report = run_summary(settings, RunOptions(allow_deletes, recheck))
    if target is not None and report.index is not None:
        if options["normalize"] == "dataset":
            # Its mean is of what was measured; only what is new since then is.
            build_quality(settings)
        if (note := size_note(settings.store, target)) is not None:
            click.echo(f"image-assets: {note}", err=True)
        with drawn_progress(shown=wants_progress(as_json=as_json)):
            summary["output"] = [str(path) for path in export_dataset(settings.store, target)]
    show(summary, as_json=as_json)
    if summary["failed"] and not as_json and not is_quiet():
        listing = " ".join(["image-assets quarantine", *same_dataset(options)])
        click.echo(f"image-assets: what failed, and why: {listing}", err=True)
    exit_with_status(summary["pipeline_status"])


@command()
@dataset_options
@deletes_option
@json_option
def plan(allow_deletes: bool, as_json: bool, **options: Any) -> None:
    """Say what `run` would do; write nothing.

    The source is listed, and nothing of it is read: which images are new, changed, moved or gone, and how long it will
    take. Use it before the first run of something large, and before a change of the settings.

    \b
    image-assets plan
    image-assets plan --input ~/photos
    image-assets plan --image-size 320 --json           # what other settings would cost
    """
    from image_assets.pipeline.detect import RunOptions
    from image_assets.pipeline.summary import plan_summary

    with drawn_progress(shown=wants_progress(as_json=as_json)):
        summary = plan_summary(settings_from(options), RunOptions(allow_deletes))
    show(summary, as_json=as_json)


@command()
@dataset_options
@json_option
def status(as_json: bool, **options: Any) -> None:
    """Say what the dataset holds; the source is not looked at.

    Counts, the digest, the recipe and when it was last published. Whether the source has news, `plan` says.

    \b
    image-assets status
    image-assets status --json
    """
    from image_assets.pipeline.summary import status_summary

    show(status_summary(settings_from(options)), as_json=as_json)


@command()
@dataset_options
@json_option
def digest(as_json: bool, **options: Any) -> None:
    """Print the dataset's digest: equal digests mean equal datasets.

    It covers keys, labels, splits and the bytes of every output, whatever the number of shards and the way there. Write
    it down with a model, and you can show later what it was trained on.

    \b
    image-assets digest
    image-assets digest --json
    """
    from image_assets.pipeline.summary import status_summary

    summary = status_summary(settings_from(options))
    if as_json:
        show({"dataset": summary["dataset"], "digest": summary["digest"]}, as_json=True)
    else:
        say(summary["digest"])


@command()
@dataset_options
@json_option
def verify(as_json: bool, **options: Any) -> None:
    """Re-read everything that is published and recompute every hash.

    Finds what a disk or a person damaged; the source is not looked at. What is damaged is named with what to do, and
    exit code 1 says that there is some.

    \b
    image-assets verify
    image-assets verify --json
    """
    from image_assets.pipeline.summary import verify_summary

    with drawn_progress(shown=wants_progress(as_json=as_json)):
        summary = verify_summary(settings_from(options))
    show(summary, as_json=as_json)
    sys.exit(EXIT_FAILURE if summary["problems"] else 0)
