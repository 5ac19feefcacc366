"""`image-assets similar`: which images are most like one."""

from typing import Any

import click

from image_assets.cli.options import dataset_options, json_option, settings_from
from image_assets.cli.program import show, show_table


@click.command()
@click.argument("what", metavar="FILE|KEY")
@click.option("-k", "count", type=int, default=10, show_default=True, metavar="N", help="How many images.")
@click.option("--exact", is_flag=True, help="Compare with all, also where there is an approximate index.")
@dataset_options
@json_option
def similar(what: str, count: int, *, exact: bool, as_json: bool, **options: Any) -> None:
    """List the images that are most similar to one, by the cosine of their feature vectors.

    KEY is an image of the dataset, which is then left out. Else FILE is any image: it goes through the dataset's own
    recipe (./FILE is never taken for a key). What is new since the last time is embedded first.

    \b
    image-assets similar dresses/0017.jpg
    image-assets similar ~/Downloads/found.webp --config shop.yaml -k 5 --json
    """
    from image_assets.pipeline.similar import similar_summary

    summary = similar_summary(settings_from(options), what, k=count, exact=exact)
    if as_json:
        show(summary, as_json=True)
        return
    rows = [{**image, "similarity": f"{image['similarity']:.4f}"} for image in summary["images"]]
    show_table(rows, ["similarity", "label", "key"])
