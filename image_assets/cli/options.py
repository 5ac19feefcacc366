"""Options that commands share, and the settings that they name."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_assets.core.errors import ConfigError

if TYPE_CHECKING:
    from image_assets.settings import Settings

SAMPLE_SETTINGS = Path("data/datasets/photos.yaml")


def dataset_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which dataset, and what of its settings to override."""
    options = [
        click.option("--input", "input_dir", metavar="PLACE",
                     help="Raw images: folder, bucket, archive, table or list of URLs."),
        click.option("--kind", metavar="KIND",
                     help="What --input is, where it does not show: folder, archives, tables, huggingface, urls."),
        click.option("--config", metavar="YAML", help=f"Settings file [default without --input: {SAMPLE_SETTINGS}]."),
        click.option("--store", metavar="URL", help="Folder or URL where everything is kept."),
        click.option("--preset", metavar="NAME", help="Settings to start from: zenml-tutorial or remux."),
        click.option("--image-size", "--image_size", type=int, metavar="PX", help="Output width and height."),
        click.option("--augment", is_flag=False, flag_value="true", metavar="[BOOL]",
                     help="One augmented variant of every image beside the plain one (more: augment.variants)."),
        click.option("--features", metavar="NAME", help="Feature extractor, or none."),
        click.option("--shards", type=int, metavar="N", help="Number of shards."),
        click.option("--workers", type=int, metavar="N", help="Worker processes; 0: none."),
        click.option("--engine", metavar="NAME|ADDRESS", help="auto, inline, local, ray, dask, spark, or a cluster's "
                     "address: ray://head:10001, tcp://scheduler:8786, spark://master:7077."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else.")
deletes_option = click.option(
    "--allow-deletes", is_flag=True, help="Confirm that an empty or much smaller source is meant."
)


def settings_from(options: dict[str, Any]) -> "Settings":
    """Return the settings that the options name: a file's, a bare place's, or the sample dataset's."""
    # Imported where they are used, as everywhere in the program: its help must not wait for them.
    from image_assets.settings import load_settings

    overrides = _overrides(options)
    config = options["config"]
    if config is None and options["input_dir"] is None:
        if not SAMPLE_SETTINGS.exists():
            raise ConfigError(f"no --input and no --config given, and there is no {SAMPLE_SETTINGS} here; give one")
        config = str(SAMPLE_SETTINGS)
    if config is not None:
        return load_settings(Path(config), overrides)
    return _settings_of_place(options, overrides)


def _settings_of_place(options: dict[str, Any], overrides: dict[str, Any]) -> "Settings":
    from image_assets.settings import dataset_name_for, is_url, make_settings
    from image_assets.settings.sources import SourceSettings
    from image_assets.sources import kind_of

    place = _absolute(options["input_dir"]) or ""
    if not is_url(place):
        if not Path(place).exists():
            raise ConfigError(f"--input {options['input_dir']} does not exist; correct it")
        if not Path(place).is_dir() and kind_of(SourceSettings(path=place, kind=options["kind"] or "auto")) == "folder":
            raise ConfigError(f"--input {options['input_dir']} is a file, not a folder, archive, table or list of URLs")
    name = dataset_name_for(place if is_url(place) else Path(place))
    content = {"name": name, "source": {"path": place}, "store": f"data/store/{name}"}
    settings = make_settings(content, base=Path.cwd(), overrides=overrides, origin="command line")
    if options["shards"] is None:
        from image_assets.pipeline.resharding import stored_num_shards
        from image_assets.pipeline.settings_file import with_shards

        # No file says how many shards it has, so its store does.
        settings = with_shards(settings, stored_num_shards(settings))
    return settings


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the options say, nested like a settings file."""
    size = options["image_size"]
    found: dict[str, Any] = {
        "preset": options["preset"],
        "source": {"path": _absolute(options["input_dir"]), "kind": options["kind"]},
        "store": _absolute(options["store"]),
        "image": {"width_px": size, "height_px": size},
        "augment": {"variants": _variants(options["augment"])},
        "features": {"extractor": _extractor(options["features"])},
        "num_shards": options["shards"],
        "workers": options["workers"],
        "engine": _engine(options["engine"]),
    }
    return _without_none(found)


def _absolute(path: str | None) -> str | None:
    from image_assets.settings import is_url

    # A path on the command line starts from here, one in a settings file from that file.
    if path is None or is_url(path):
        return path
    if not path:
        raise ConfigError("an empty path was given; name a folder")
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise ConfigError(f"{path}: {error}") from error


def _engine(word: str | None) -> dict[str, str] | None:
    """Return what a word or an address says of the engine, to be merged with what the file says."""
    from image_assets.settings.engine import engine_of

    try:
        said: dict[str, str] | None = engine_of(word)
    except ValueError as error:
        raise ConfigError(f"--engine: {error}") from error
    return said


def _extractor(name: str | None) -> str | None:
    """Return an extractor's name, with the path of an ONNX file taken from here."""
    if name is None or not name.startswith("onnx:"):
        return name
    return f"onnx:{_absolute(name.removeprefix('onnx:'))}"


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
