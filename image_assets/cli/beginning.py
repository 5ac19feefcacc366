"""`image-assets init`: a settings file for a folder, after a look at it."""

import shlex
from pathlib import Path
from typing import Any

import click

from image_assets.cli.help import command, option
from image_assets.cli.options import json_option, refuse_unprintable
from image_assets.cli.place import datasets_folder
from image_assets.cli.program import say, show
from image_assets.core.errors import ConfigError
from image_assets.core.plain_text import printable


@command("init")
@click.argument("place", default=".", metavar="[PLACE]")
@option("--name", metavar="NAME", help="Name of the dataset [default: that of the folder].")
@option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write the settings [default: data/datasets/NAME.yaml].",
)
@option("--store", metavar="URL", help="Where everything will be kept [default: data/store/NAME].")
@option("--kind", metavar="KIND", help="What PLACE is, where it does not show: archives, tables, huggingface, urls.")
@option("--force", is_flag=True, help="Write over a settings file that is there.")
@json_option  # fmt: skip
def init(place: str, as_json: bool, **options: Any) -> None:
    """Look at your pictures, and write a settings file with comments.

    PLACE is a folder [default: this one], a bucket, an archive, a table or a list of URLs. The look takes seconds, also
    at a million files: names and sizes are counted, and a few dozen images opened. Nothing is processed, and nothing is
    written but the one file, in which every setting that there is stands with its default and what it means.

    \b
    image-assets init ~/photos
    image-assets init ~/photos --name holiday --out holiday.yaml
    image-assets init s3://bucket/raw --name shop
    """
    from image_assets.pipeline.beginning.telling import begin_dataset

    refuse_unprintable(place)
    if not place.strip():
        raise ConfigError("an empty path was given; name a folder, or leave it out for this one")
    summary = begin_dataset(_whole(place), {**options, "folder": datasets_folder()})
    config = _config_word(Path(summary["settings_file"]), summary["dataset"])
    following = [f"image-assets {name} --config {config}" for name in ("plan", "run")]
    if as_json:
        show({**summary, "next": following}, as_json=True)
    else:
        for line in summary["seen"]:
            say(f"found   {printable(line)}")
        say(f"wrote   {printable(summary['settings_file'])}")
        for line, what in zip(following, ("what a run would do", "do it"), strict=True):
            say(f"next    {line:<50}  # {what}")


def _whole(place: str) -> str:
    from image_assets.settings import is_url

    return place if is_url(place) else str(Path(place).expanduser())


def _config_word(path: Path, name: str) -> str:
    short = path.parent == datasets_folder() and path.stem == name
    return name if short else shlex.quote(str(path))
