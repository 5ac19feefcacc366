"""`image-assets auto-labels`: what the images without a label seem to be."""

from typing import Any

from image_assets.cli.help import command
from image_assets.cli.options import dataset_options, json_option, settings_from, wants_progress
from image_assets.cli.program import show, show_table
from image_assets.cli.progress import drawn_progress


@command("auto-labels")
@dataset_options
@json_option
def auto_labels(as_json: bool, **options: Any) -> None:
    """Say what the images without a label seem to be.

    Two witnesses: ImageNet's classifier, and the most similar images that have a label. `auto_labels.parquet` in the
    store then says it of every row of the index. Labels of people are never changed. For a look before you send images
    to a labelling platform; with the setting auto_labels.enabled every run does it.

    \b
    image-assets auto-labels
    image-assets auto-labels --input ~/photos --json
    """
    from image_assets.pipeline.auto_labels import auto_labels_summary

    with drawn_progress(shown=wants_progress(as_json=as_json)):
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
