"""`image-assets inspect`: what the platform sees in single files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_assets.cli.help import command
from image_assets.cli.options import json_option
from image_assets.cli.program import EXIT_PARTIAL, say, show

if TYPE_CHECKING:
    from image_assets.settings import Settings


@command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--config", metavar="YAML", help="Settings that say how outputs are made [default: 224 x 224 JPEG].")
@click.option("--preset", metavar="NAME", help="Settings to start from: zenml-tutorial or remux.")
@click.option("--preview", metavar="PNG", help="Write the exact pixels of the output there (one FILE).")
@json_option
def inspect(files: tuple[str, ...], preview: str | None, as_json: bool, **options: Any) -> None:
    """Say what the platform sees in single files, and why one has no output.

    Format, size, orientation, profile, EXIF, verdict and reason; with --preview the very pixels that a run would make.
    No dataset is needed, and none is touched. Exit code 3: some of the files have no output.

    \b
    image-assets inspect data/photos/*/*.jpg
    image-assets inspect --preview out.png data/photos/shirt/005d3a4d-b8cc-4f14-a288-8065ab797974.jpg
    """
    from image_assets.pipeline.inspection import inspect_summary

    summary = inspect_summary(_settings(options), files, preview)
    if as_json:
        show(summary, as_json=True)
    else:
        for number, report in enumerate(summary["files"]):
            if number:
                say()
            output = report.pop("output", None) or {}
            show({**report, **{f"output_{name}": value for name, value in output.items()}}, as_json=False)
    sys.exit(EXIT_PARTIAL if any(report["verdict"] != "ok" for report in summary["files"]) else 0)


def _settings(options: dict[str, Any]) -> "Settings":
    from image_assets.settings import load_settings, make_settings

    overrides = {"workers": 1, **({"preset": options["preset"]} if options["preset"] is not None else {})}
    if options["config"] is not None:
        return load_settings(Path(options["config"]), overrides)
    # There is no dataset: what names one is not looked at.
    content = {"name": "inspected", "source": {"path": "."}, "store": "."}
    return make_settings(content, base=Path.cwd(), overrides=overrides, origin="command line")
