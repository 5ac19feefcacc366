"""`image-assets auto-labels`: what the images without a label seem to be."""

from typing import Any

import click

from image_assets.cli.options import dataset_options, json_option, settings_from
from image_assets.cli.program import show, show_table


@click.command("auto-labels")
@dataset_options
@json_option
def auto_labels(as_json: bool, **options: Any) -> None:
    """List the images without a label, and what they seem to be: to ImageNet's classifier, and by their neighbours.

    `auto_labels.parquet` in the store then says it of every row of the index. Labels of people are never changed.

    \b
    image-assets auto-labels --input ~/photos
    image-assets auto-labels --config shop.yaml --json
    """
    from image_assets.pipeline.auto_labels import auto_labels_summary

    summary = auto_labels_summary(settings_from(options))
    if as_json:
        show(summary, as_json=True)
        return
    columns = ["neighbour_label", "neighbour_confidence", "imagenet_label", "imagenet_confidence", "key"]
    rows = [{**image, **_short(image)} for image in summary["unlabelled"]]
    show_table(rows, columns)


def _short(image: dict[str, Any]) -> dict[str, str | None]:
    names = ("neighbour_confidence", "imagenet_confidence")
    return {name: None if image[name] is None else f"{image[name]:.2f}" for name in names}
