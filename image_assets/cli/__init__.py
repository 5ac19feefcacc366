"""The command line: parses, calls the pipeline, prints."""

import click

from image_assets.cli.auto_labels import auto_labels
from image_assets.cli.dataset import digest, plan, run, status, verify
from image_assets.cli.duplicates import duplicates
from image_assets.cli.inspecting import inspect
from image_assets.cli.labelling import labels
from image_assets.cli.program import Program
from image_assets.cli.quality import quality
from image_assets.cli.remuxing import remux
from image_assets.cli.sampling import analyze, sample
from image_assets.cli.similar import similar
from image_assets.cli.splits import splits
from image_assets.cli.sql import sql
from image_assets.cli.upkeep import diff, forget, gc, quarantine, reshard, retry, snapshots, vacuum


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="image-assets")
def main() -> None:
    """Turn a folder of raw images into an incremental, checked training set.

    \b
    image-assets run                                the dataset in data/datasets/photos.yaml
    image-assets run --input ~/photos               any folder; its state is kept in data/store/
    image-assets run --config shop.yaml --json      settings from a file, one JSON object on stdout
    """


_COMMANDS = (
    *(run, plan, status, digest, verify, inspect),
    *(duplicates, splits, similar, auto_labels, quality),
    *(quarantine, retry, reshard),
    *(snapshots, diff, vacuum, gc, forget),
    labels,
    remux,
    *(sql, sample, analyze),
)
for command in _COMMANDS:
    main.add_command(command)
