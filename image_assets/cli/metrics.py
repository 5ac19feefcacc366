"""`image-assets metrics`: the numbers of datasets for Prometheus, once, into a file, or on a web address."""

import sys
from pathlib import Path
from typing import Any

import click

from image_assets.cli.help import DATASET, command, option
from image_assets.cli.options import configs_option, named_settings_file, output_options
from image_assets.cli.place import datasets_folder
from image_assets.cli.program import EXIT_FAILURE, is_quiet
from image_assets.core.errors import ConfigError


@command()
@configs_option
@option("--datasets", metavar="FOLDER", section=DATASET, help="All settings files of another folder.")
@option("--out", metavar="FILE.prom", help="Write a file for the textfile collector of Prometheus' node exporter.")
@option("--serve", metavar="HOST:PORT", help="Answer at http://HOST:PORT/metrics until Ctrl-C.")
@option("--source", "with_source", is_flag=True, help="Also list the sources: how many shards a run would have to do.")
@option(
    "--cache",
    "cache_s",
    type=click.FloatRange(0, 86_400),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="With --serve: answer from what was read so long ago at most.",
)
@option(
    "--limit",
    "limit_s",
    type=click.FloatRange(0.1, 600),
    default=8.0,
    show_default=True,
    metavar="SECONDS",
    help="With --serve: a dataset whose store takes longer is told as not up.",
)
@output_options
def metrics(configs: tuple[str, ...], datasets: str | None, out: str | None, **options: Any) -> None:
    """Tell Prometheus how datasets stand.

    Numbers are read from the stores, so they are right whoever ran, failed or was killed: images, failed ones by
    reason, commits, the index, checks, free disk. Nothing is changed. Without --out and --serve they are printed.
    The setting monitoring.textfile writes the file of --out with every run. Exit code 1: a dataset cannot be read
    (image_assets_up is 0 then, and the others are told).

    \b
    image-assets metrics
    image-assets metrics --config photos --out data/store/photos.prom
    image-assets metrics --serve 127.0.0.1:9464
    """
    from image_assets.pipeline.monitoring.exposition import exposition
    from image_assets.pipeline.monitoring.names import HELP
    from image_assets.pipeline.monitoring.textfile import write_textfile
    from image_assets.pipeline.monitoring.watching import Watch

    if out is not None and options["serve"] is not None:
        raise ConfigError("--out writes a file once, --serve answers until it is stopped; give one of the two")
    watch = Watch(
        _places(configs, datasets),
        lambda line: click.echo(f"image-assets: {line}", err=True),
        with_source=options["with_source"],
        cache_s=options["cache_s"] if options["serve"] is not None else 0,
    )
    if options["serve"] is not None:
        _serve(watch, options["serve"], options["limit_s"])
        return
    samples = watch.samples()
    if out is not None:
        write_textfile(Path(out), samples)
    else:
        click.echo(exposition(samples, HELP), nl=False)
    if watch.wrong:
        sys.exit(EXIT_FAILURE)


def _places(configs: tuple[str, ...], datasets: str | None) -> list[Path]:
    if not configs:
        return [Path(datasets) if datasets is not None else datasets_folder()]
    named = [named_settings_file(name) for name in configs]
    if missing := [path for path in named if not path.is_file()]:
        raise ConfigError(f"settings file {missing[0]} does not exist")
    return named


def _serve(watch: Any, place: str, limit_s: float) -> None:
    from image_assets.pipeline.monitoring.endpoint import Endpoint, parse_place

    with Endpoint(parse_place(place), watch, limit_s) as endpoint:
        # What is wrong from the start is said at the start.
        watch.samples(limit_s)
        if not is_quiet():
            click.echo(f"metrics on {endpoint.url}; Ctrl-C ends it", err=True)
        try:
            endpoint.serve_forever()
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt("ended") from error
