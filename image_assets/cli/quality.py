"""`image-assets quality`: what the checks of a dataset's images say, and the worst images of each kind."""

import sys
from typing import Any

import click

from image_assets.cli.help import command
from image_assets.cli.options import dataset_options, json_option, settings_from, wants_progress
from image_assets.cli.program import EXIT_FAILURE, say, show, show_table
from image_assets.cli.progress import drawn_progress


@command()
@dataset_options
@click.option("--worst", type=click.IntRange(0, 1000), default=5, metavar="N", help="Name so many images of each kind.")
@json_option
def quality(worst: int, as_json: bool, **options: Any) -> None:
    """Measure the images, judge them, and name the worst.

    Dark, blurred, odd and repeated images, unequal labels, drift since the last snapshot. What is new since the
    last time is measured; `image_quality.parquet` in the store then says of every row of the index what was
    measured and what is wrong with it, and `dataset_statistics.parquet` what there is of everything. When a check
    fails is a setting (quality.CHECK); quality.enabled does the same with every run. Exit code 1: a check fails
    whose severity is error (quality.CHECK.severity).

    \b
    image-assets quality
    image-assets quality --worst 1 --json
    """
    from image_assets.pipeline.quality_summary import quality_summary

    with drawn_progress(shown=wants_progress(as_json=as_json)):
        summary = quality_summary(settings_from(options), worst=worst)
    if as_json:
        show(summary, as_json=True)
    else:
        _show_for_people(summary)
    if summary["failed"]:
        sys.exit(EXIT_FAILURE)


def _show_for_people(summary: dict[str, Any]) -> None:
    # Sentences are Markdown, in which a label is code.
    checks = [{**check, "sentence": check["sentence"].replace("`", "")} for check in summary["checks"]]
    show_table(checks, ["check", "outcome", "sentence"])
    channels = {name: [f"{value:.4f}" for value in summary[f"channel_{name}"]] for name in ("mean", "std")}
    if channels["mean"]:
        say()
        show({f"channel {name} (0-1)": values for name, values in channels.items()}, as_json=False)
    rows = [
        {"issue": issue, "value": f"{measure:g} {unit}", "key": image["key"]}
        for issue, images in summary["worst"].items()
        for image in images
        for unit, measure in list(image.items())[1:]
    ]
    if rows:
        say()
        show_table(rows, ["issue", "value", "key"])
