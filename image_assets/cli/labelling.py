"""`image-assets labels`: images to a labelling platform, and labels back."""

from pathlib import Path
from typing import Any

import click

from image_assets.cli.help import TeachingGroup
from image_assets.cli.options import dataset_options, json_option, settings_from
from image_assets.cli.program import show

PLATFORM_NAMES = ("cvat", "coco", "label-studio", "labelbox")
_platform_option = click.option(
    "--platform", type=click.Choice(PLATFORM_NAMES), required=True, help="Whose format: coco is CVAT's COCO 1.0."
)
_project_option = click.option("--project", metavar="NAME", help="Its name there [default: the dataset's name].")


@click.group(cls=TeachingGroup)
def labels() -> None:
    """Send images to a labelling platform, and take the labels back.

    Labels come back by content: renames and moves do not matter. CVAT, COCO, Label Studio and Labelbox are spoken.

    \b
    image-assets labels export --platform cvat --out to_label
    image-assets labels import --platform cvat annotations.xml
    """


@labels.command("export")
@dataset_options
@_platform_option
@_project_option
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where batches are written.")
@click.option(
    "--only", type=click.Choice(["unlabelled", "all"]), default="unlabelled", show_default=True, help="Which images."
)
@click.option(
    "--labels", "names", multiple=True, metavar="A,B", help="Labels to offer, or @FILE [default: the dataset's]."
)
@click.option(
    "--with-predictions", type=click.Choice(["auto_labels"]), help="Send what models say as predictions as well."
)
@click.option("--url", default="", metavar="URL", help="Where the platform finds the folder that images/ lies in.")
@json_option
def export_labels(as_json: bool, **options: Any) -> None:
    """Write the next batch of images for a labelling platform.

    Those that the project was not sent yet, with what is said of them so far. By default only images without a label.

    \b
    image-assets labels export --platform cvat --out to_label --labels shirt,shoe
    image-assets labels export --platform label-studio --only all --out to_label --json
    """
    from image_assets.pipeline.label_export import LabelExport
    from image_assets.pipeline.labelling import export_summary, label_names

    settings = settings_from(options)
    wanted = LabelExport(
        platform=options["platform"],
        project=options["project"] or settings.name,
        out=options["out"],
        only=options["only"],
        labels=label_names(options["names"]),
        predictions=options["with_predictions"] is not None,
        url=options["url"],
    )
    show(export_summary(settings, wanted), as_json=as_json)


@labels.command("import")
@dataset_options
@_platform_option
@_project_option
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--labels",
    "names",
    multiple=True,
    metavar="A,B",
    help="Labels that may come back, or @FILE [default: those offered].",
)
@click.option("--skip-problems", is_flag=True, help="Leave out tasks that cannot be taken, instead of taking none.")
@json_option
def import_labels(as_json: bool, **options: Any) -> None:
    """Keep what people said of the images in FILE, an export of the platform.

    No image is decoded for it, and importing the same again changes nothing. The labels are in the next index: `run`.

    \b
    image-assets labels import --platform cvat annotations.xml
    image-assets labels import --platform label-studio project-1-at-2026-01-01.json
    """
    from image_assets.pipeline.label_import import LabelImport
    from image_assets.pipeline.labelling import import_summary, label_names

    settings = settings_from(options)
    wanted = LabelImport(
        platform=options["platform"],
        project=options["project"] or settings.name,
        file=options["file"],
        labels=label_names(options["names"]),
        skip_problems=options["skip_problems"],
    )
    show(import_summary(settings, wanted), as_json=as_json)
