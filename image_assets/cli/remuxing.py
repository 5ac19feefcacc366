"""The command that preprocesses a Hugging Face dataset into Parquet parts."""

from pathlib import Path
from typing import Any

import click

from image_assets.cli.help import command
from image_assets.cli.options import json_option, wants_progress
from image_assets.cli.program import EXIT_INTERRUPTED, show
from image_assets.cli.progress import drawn_progress


@command()
@click.option(
    "--dataset",
    required=True,
    metavar="PATH_OR_ID",
    help="Folder in Hugging Face layout, a Parquet or Arrow file, or an id (owner/name) on the hub.",
)
@click.option("--subset", metavar="NAME", help="Subset (configuration) of the dataset.")
@click.option("--split", default="train", show_default=True, metavar="EXPR", help="train, train[:10%], train+test.")
@click.option("--out-dir", required=True, metavar="DIR", help="New or empty folder for the parts.")
@click.option(
    "--batch-size",
    type=int,
    default=32,
    show_default=True,
    metavar="N",
    help="Images that a worker, and a --function, gets at once.",
)
@click.option("--rows-per-shard", type=int, default=10_000, show_default=True, metavar="N", help="Rows of a part.")
@click.option("--num-workers", type=int, default=2, show_default=True, metavar="N", help="Worker processes; 0: none.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of every random draw.")
@click.option("--image-col", default="image", show_default=True, metavar="NAME", help="Column of the images.")
@click.option("--label-col", metavar="NAME", help="Column of the labels [default: label, if there is one].")
@click.option("--extra-cols", metavar="A,B", help="Other columns to keep [default: all].")
@click.option(
    "--image-format",
    type=click.Choice(["jpeg", "png"]),
    default="jpeg",
    show_default=True,
    help="How outputs are stored.",
)
@click.option("--jpeg-quality", type=int, default=90, show_default=True, metavar="Q", help="1 to 100.")
@click.option(
    "--function",
    metavar="MODULE:CALLABLE",
    help="Your function over batches (a dict of lists, images as PIL), instead of the preset's transforms.",
)
@click.option(
    "--names",
    type=click.Choice(["part", "hub"]),
    default="part",
    show_default=True,
    help="part-00000.parquet, or as on the hub: train-00000-of-00016.parquet.",
)
@click.option("--resume", is_flag=True, help="Go on with the remux that is in --out-dir.")
@json_option
def remux(as_json: bool, out_dir: str, extra_cols: str | None, **options: Any) -> None:
    """Preprocess a Hugging Face dataset into Parquet parts.

    `load_dataset` reads them, and memory is bounded. There is no dataset of the platform in this, nor Dagster.
    Every image is cropped at random (70-100 % of its area), resized to 256 px and sharpened; the draws depend on
    the seed and the image alone. A bad image becomes a row of quarantine.parquet. Interrupted anywhere, --resume
    goes on.

    \b
    image-assets remux --dataset ./places --split train --out-dir places-256
    image-assets remux --dataset big.parquet --out-dir big-256 --num-workers 8 --resume
    image-assets remux --dataset owner/name --subset small --function my_module:augment --out-dir out
    """
    try:
        from image_assets.pipeline.remux.options import RemuxOptions
        from image_assets.pipeline.remux.summary import remux_summary

        extra = None if extra_cols is None else tuple(name.strip() for name in extra_cols.split(",") if name.strip())
        wanted = RemuxOptions(out_dir=Path(out_dir).expanduser(), extra_cols=extra, **options)
        with drawn_progress(shown=wants_progress(as_json=as_json)):
            summary = remux_summary(wanted)
    except KeyboardInterrupt:
        click.echo(f"image-assets: interrupted; go on with --resume and --out-dir {out_dir}", err=True)
        click.get_current_context().exit(EXIT_INTERRUPTED)
    show(summary, as_json=as_json)
