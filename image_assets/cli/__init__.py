"""The command line: parses, calls the pipeline, prints."""

import click

from image_assets.cli.auto_labels import auto_labels
from image_assets.cli.beginning import init
from image_assets.cli.dataset import digest, plan, run, status, verify
from image_assets.cli.doctor import doctor
from image_assets.cli.duplicates import duplicates
from image_assets.cli.frame import Program
from image_assets.cli.inspecting import inspect
from image_assets.cli.labelling import labels
from image_assets.cli.metrics import metrics
from image_assets.cli.options import output_options
from image_assets.cli.place import settings_files_here
from image_assets.cli.quality import quality
from image_assets.cli.remuxing import remux
from image_assets.cli.reporting import report
from image_assets.cli.sampling import analyze, sample
from image_assets.cli.shells import completion
from image_assets.cli.similar import similar
from image_assets.cli.splits import splits
from image_assets.cli.sql import sql
from image_assets.cli.upkeep import diff, forget, gc, quarantine, reshard, retry, snapshots, vacuum
from image_assets.core.settings_files import DATASETS_FOLDER

_FIRST = f"""There is no dataset here yet: no settings file in {DATASETS_FOLDER}/. Begin with one of these.

  image-assets init ~/photos          # look at your pictures and write a settings file with comments
  image-assets run --input ~/photos   # or try at once, without a file; what is made lies in data/store/

image-assets --help lists all commands."""


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.version_option(package_name="image-assets")
@output_options
@click.pass_context
def main(ctx: click.Context) -> None:
    """Turn raw images into an incremental, checked training set.

    \b
    image-assets init ~/photos            # look at a folder, write a settings file with comments
    image-assets run                      # the dataset of the one settings file in data/datasets/
    image-assets run --input ~/photos     # or any folder without a file
    image-assets run --help               # what a command does, with examples

    Exit codes of every command: 0 all is well, 1 failure, 2 a mistake in the command or the settings, 3 done, but
    some images failed or a shard was refused, 130 interrupted by Ctrl-C.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help() if settings_files_here() else _FIRST)


main.add_to("Start here", init, run, plan, status, doctor)
main.add_to("Look at a dataset", analyze, inspect, similar, duplicates, quality, auto_labels, splits, sql, digest)
main.add_to("Look at a dataset", report)
main.add_to("Look after it", quarantine, retry, verify, snapshots, diff, vacuum, gc, reshard, forget)
main.add_to("Labels of people", labels)
main.add_to("Move out", sample, remux)
main.add_to("Watch", metrics)
main.add_to("Your shell", completion)
