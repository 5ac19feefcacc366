"""Commands that look after a dataset: failed images, shards, snapshots, space, and what must be forgotten."""

from typing import Any

import click

from image_assets.cli.options import dataset_options, json_option, settings_from
from image_assets.cli.program import exit_with_status, show, show_table

_reasons_help = "Only images with this reason; may be given several times."


@click.command()
@dataset_options
@click.option("--reason", "reasons", multiple=True, metavar="R", help=_reasons_help)
@json_option
def quarantine(reasons: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """List the images that have no output, with the reason, since when, and how often they were tried.

    \b
    image-assets quarantine --input ~/photos
    image-assets quarantine --reason truncated --json
    image-assets quarantine --reason wrong_extension       a warning: these images do have an output
    """
    from image_assets.pipeline.quarantine import quarantine_summary

    summary = quarantine_summary(settings_from(options), reasons)
    if as_json:
        show(summary, as_json=True)
    else:
        show_table(summary["quarantine"], ["key", "reason", "attempts", "first_seen", "last_seen", "detail"])


@click.command()
@dataset_options
@click.option("--reason", "reasons", multiple=True, required=True, metavar="R", help=_reasons_help)
@json_option
def retry(reasons: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Run the dataset, and try the failed images of some reasons again.

    Otherwise an image that failed is tried again when its bytes, the decoder or the recipe change, and never else.

    \b
    image-assets retry --reason unreadable
    """
    from image_assets.pipeline.detect import RunOptions, known_reasons
    from image_assets.pipeline.summary import run_summary

    settings = settings_from(options)
    summary, _ = run_summary(settings, RunOptions(retry=known_reasons(reasons)), progress=not as_json)
    show(summary, as_json=as_json)
    exit_with_status(summary["pipeline_status"])
