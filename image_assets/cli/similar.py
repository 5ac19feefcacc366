"""`image-assets similar`: which images are most like one."""

from typing import Any

import click

from image_assets.cli.help import command
from image_assets.cli.options import dataset_options, json_option, settings_from, wants_progress
from image_assets.cli.program import show, show_table
from image_assets.cli.progress import drawn_progress


@command()
@click.argument("what", metavar="FILE|KEY")
@click.option("-k", "count", type=int, default=10, show_default=True, metavar="N", help="How many images.")
@click.option("--exact", is_flag=True, help="Compare with all, also where there is an approximate index.")
@dataset_options
@json_option
def similar(what: str, count: int, *, exact: bool, as_json: bool, **options: Any) -> None:
    """List the images that are most similar to one.

    Compared are feature vectors, by their cosine: 1 is the same. KEY is an image of the dataset, which is then left
    out. Else FILE is any image: it goes through the dataset's own recipe (./FILE is never taken for a key). What is
    new since the last time is embedded first.

    \b
    image-assets similar shirt/005d3a4d-b8cc-4f14-a288-8065ab797974.jpg
    image-assets similar ./data/photos/dress/05d361f6-9518-4bf7-a644-6dba9402adf4.jpg -k 5 --json
    """
    from image_assets.pipeline.similar import similar_summary

    with drawn_progress(shown=wants_progress(as_json=as_json)):
        summary = similar_summary(settings_from(options), what, k=count, exact=exact)
    if as_json:
        show(summary, as_json=True)
        return
    rows = [{**image, "similarity": f"{image['similarity']:.4f}"} for image in summary["images"]]
    show_table(rows, ["similarity", "label", "key"])
