"""The command line: parses, calls the pipeline, prints."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from image_assets.core.errors import ConfigError, ImageAssetsError
from image_assets.settings import Settings, dataset_name_for, load_settings, make_settings

EXIT_FAILURE, EXIT_USAGE, EXIT_PARTIAL = 1, 2, 3
SAMPLE_SETTINGS = Path("data/datasets/photos.yaml")


class _Program(click.Group):
    """Turns the platform's errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _complain(error)
            ctx.exit(EXIT_USAGE)
        except (ImageAssetsError, OSError) as error:
            _complain(error)
            ctx.exit(EXIT_FAILURE)


def _complain(error: Exception) -> None:
    click.echo(f"image-assets: {' '.join(str(error).split())}", err=True)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="image-assets")
def main() -> None:
    """Turn a folder of raw images into an incremental, checked training set.

    \b
    image-assets run                                the dataset in data/datasets/photos.yaml
    image-assets run --input ~/photos               any folder; its state is kept in data/store/
    image-assets run --config shop.yaml --json      settings from a file, one JSON object on stdout
    """


def _dataset_options(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--input", "input_dir", metavar="DIR", help="Folder of raw images."),
        click.option("--config", metavar="YAML", help=f"Settings file [default without --input: {SAMPLE_SETTINGS}]."),
        click.option("--store", metavar="URL", help="Folder or URL where everything is kept."),
        click.option("--preset", metavar="NAME", help="Settings to start from: zenml-tutorial or remux."),
        click.option("--image-size", "--image_size", type=int, metavar="PX", help="Output width and height."),
        click.option("--augment", is_flag=False, flag_value="true", metavar="[BOOL]",
                     help="One augmented variant of every image beside the plain one (more: augment.variants)."),
        click.option("--features", metavar="NAME", help="Feature extractor, or none."),
        click.option("--shards", type=int, metavar="N", help="Number of shards."),
        click.option("--workers", type=int, metavar="N", help="Worker processes; 0: none."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else.")
_deletes_option = click.option("--allow-deletes", is_flag=True, help="Confirm that an empty source is meant.")


@main.command()
@_dataset_options
@click.option("--output", metavar="FILE_OR_DIR", help="Also write the dataset there; the suffix decides the format.")
@click.option("--image-array", is_flag=True, help="Put pixels into a CSV, JSON or Parquet --output.")
@click.option(
    "--normalize",
    type=click.Choice(["none", "0-1", "-1-1", "imagenet"]),
    default="none",
    help="Pixels of an --output as float32: 0 to 1, -1 to 1, or by ImageNet's mean and standard deviation.",
)
@click.option("--recheck", is_flag=True, help="Look into every shard, also where nothing changed.")
@_deletes_option
@_json_option
def run(output: str | None, recheck: bool, allow_deletes: bool, as_json: bool, **options: Any) -> None:
    """Bring a dataset in line with its source; only what changed is done.

    \b
    image-assets run --input ~/photos --output photos.csv --image-size 128
    image-assets run --input ~/photos --output tensors.h5 --normalize 0-1 --features none

    Exit code 0: success, 3: partial failure, 1: failure, 2: usage.
    """
    from image_assets.pipeline.exporting import ExportTarget, export_dataset
    from image_assets.pipeline.summary import run_summary

    settings = _settings(options)
    how = {"image_array": options["image_array"], "normalization": options["normalize"]}
    target = ExportTarget.parse(output, **how) if output else None
    summary, report = run_summary(settings, allow_deletes=allow_deletes, recheck=recheck, progress=not as_json)
    if target is not None and report.index is not None:
        summary["output"] = [str(path) for path in export_dataset(settings.store, target)]
    _print(summary, as_json=as_json)
    codes = {"success": 0, "partial failure": EXIT_PARTIAL, "failure": EXIT_FAILURE}
    sys.exit(codes[summary["pipeline_status"]])


@main.command()
@_dataset_options
@_deletes_option
@_json_option
def plan(allow_deletes: bool, as_json: bool, **options: Any) -> None:
    """Say what `run` would do; write nothing."""
    from image_assets.pipeline.summary import plan_summary

    _print(plan_summary(_settings(options), allow_deletes=allow_deletes), as_json=as_json)


@main.command()
@_dataset_options
@_json_option
def status(as_json: bool, **options: Any) -> None:
    """Say what the dataset holds; the source is not looked at."""
    from image_assets.pipeline.summary import status_summary

    _print(status_summary(_settings(options)), as_json=as_json)


@main.command()
@_dataset_options
@_json_option
def digest(as_json: bool, **options: Any) -> None:
    """Print the dataset's digest: equal digests mean equal datasets."""
    from image_assets.pipeline.summary import status_summary

    summary = status_summary(_settings(options))
    if as_json:
        _print({"dataset": summary["dataset"], "digest": summary["digest"]}, as_json=True)
    else:
        click.echo(summary["digest"])


@main.command()
@_dataset_options
@_json_option
def verify(as_json: bool, **options: Any) -> None:
    """Re-read every segment and recompute every hash."""
    from image_assets.pipeline.summary import verify_summary

    summary = verify_summary(_settings(options), progress=not as_json)
    _print(summary, as_json=as_json)
    sys.exit(EXIT_FAILURE if summary["problems"] else 0)


def _settings(options: dict[str, Any]) -> Settings:
    """Return the settings that the options name: a file's, a bare folder's, or the sample dataset's."""
    overrides = _overrides(options)
    config = options["config"]
    if config is None and options["input_dir"] is None:
        if not SAMPLE_SETTINGS.exists():
            raise ConfigError(f"no --input and no --config given, and there is no {SAMPLE_SETTINGS} here; give one")
        config = str(SAMPLE_SETTINGS)
    if config is not None:
        return load_settings(Path(config), overrides)
    folder = Path(_absolute(options["input_dir"]) or "")
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ConfigError(f"--input {options['input_dir']} {what}; name the folder that holds the images")
    name = dataset_name_for(folder)
    content = {"name": name, "source": {"path": str(folder)}, "store": f"data/store/{name}"}
    return make_settings(content, base=Path.cwd(), overrides=overrides, origin="command line")


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the options say, nested like a settings file."""
    size = options["image_size"]
    found: dict[str, Any] = {
        "preset": options["preset"],
        "source": {"path": _absolute(options["input_dir"])},
        "store": _absolute(options["store"]),
        "image": {"width_px": size, "height_px": size},
        "augment": {"variants": _variants(options["augment"])},
        "features": {"extractor": options["features"]},
        "num_shards": options["shards"],
        "workers": options["workers"],
    }
    return _without_none(found)


def _absolute(path: str | None) -> str | None:
    # A path on the command line starts from here, one in a settings file from that file.
    if path is None or "://" in path:
        return path
    if not path:
        raise ConfigError("an empty path was given; name a folder")
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise ConfigError(f"{path}: {error}") from error


def _variants(text: str | None) -> int | None:
    if text is None:
        return None
    words = {"true": 1, "yes": 1, "1": 1, "false": 0, "no": 0, "0": 0}
    if text.lower() not in words:
        raise ConfigError(f"--augment takes True or False, not {text!r}")
    return words[text.lower()]


def _without_none(content: dict[str, Any]) -> dict[str, Any]:
    nested = {name: _without_none(value) if isinstance(value, dict) else value for name, value in content.items()}
    return {name: value for name, value in nested.items() if value is not None and value != {}}


def _print(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=True))
        return
    width = max(len(name) for name in summary)
    for name, value in summary.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        click.echo(f"{name:<{width}}  {text}")
