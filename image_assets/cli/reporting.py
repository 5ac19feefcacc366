"""`image-assets report`: one page of HTML about a dataset, for people without Dagster."""

from pathlib import Path
from typing import Any

from image_assets.cli.help import command, option
from image_assets.cli.options import dataset_options, json_option, settings_from
from image_assets.cli.program import say, show


@command()
@dataset_options
@option("--out", default="report.html", metavar="FILE", help="Where to write it.", show_default=True)
@json_option
def report(out: str, as_json: bool, **options: Any) -> None:
    """Write one page of HTML about the newest snapshot.

    Numbers, growth, pictures by label, sizes, splits, duplicates side by side, the worst images, drift, the quarantine
    with what failed images still show, what the checks said. The page needs no network and no script: send it to
    anybody who may see the pictures. Nothing is written to the store. report.enabled writes the same page into the
    store, as report.html, with every run; the other settings in `report` say how many pictures there are.

    \b
    image-assets report
    image-assets report --out photos.html --json
    """
    from image_assets.core.errors import ConfigError
    from image_assets.pipeline.report.building import write_report

    path = Path(out).expanduser()
    if path.is_dir():
        raise ConfigError(f"--out {out} is a folder; name a file, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {path.parent}; make it, or name another")
    summary = write_report(settings_from(options), path)
    show(summary, as_json=as_json)
    if not as_json:
        say(f"\nOpen it in a browser: {path.resolve().as_uri()}")
