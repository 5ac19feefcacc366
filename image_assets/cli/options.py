"""Options that commands share, and the settings that they name."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_assets.cli.completing import complete_config, complete_words
from image_assets.cli.help import DATASET, INSTEAD, TELLING, option
from image_assets.cli.place import datasets_folder, settings_files_here
from image_assets.cli.program import QUIET, is_quiet
from image_assets.core.errors import ConfigError
from image_assets.core.settings_files import DATASETS_FOLDER

if TYPE_CHECKING:
    from image_assets.settings import Settings

_SAMPLE = "photos.yaml"
_KINDS = ("auto", "folder", "archives", "tables", "huggingface", "urls", "bucket")
_ENGINES = ("auto", "inline", "local", "ray", "dask", "spark")


def dataset_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which dataset, and what of its settings to override."""
    options = [
        option("--config", metavar="YAML|NAME", section=DATASET, shell_complete=complete_config,
               help=f"Settings file, or the name of one in {DATASETS_FOLDER}/ [default: the one there, or "
               "photos.yaml]."),
        option("--input", "input_dir", metavar="PLACE", section=DATASET, type=click.Path(),
               help="Instead of a settings file: a folder, bucket, archive, table or list of URLs."),
        option("--kind", metavar="KIND", section=DATASET, shell_complete=complete_words(*_KINDS),
               help="What --input is, where it does not show: folder, archives, tables, huggingface, urls."),
        option("--store", metavar="URL", section=DATASET, type=click.Path(),
               help="Folder or URL where everything is kept."),
        option("--preset", metavar="NAME", section=INSTEAD, shell_complete=complete_words("zenml-tutorial", "remux"),
               help="Settings to start from: zenml-tutorial or remux."),
        option("--image-size", "--image_size", type=int, metavar="PX", section=INSTEAD,
               help="Output width and height."),
        option("--augment", is_flag=False, flag_value="true", metavar="[BOOL]", section=INSTEAD,
               help="One augmented variant of every image beside the plain one (more: augment.variants)."),
        option("--features", metavar="NAME", section=INSTEAD, help="Feature extractor, or none.",
               shell_complete=complete_words("none", "efficientnet-lite0", "colour-moments")),
        option("--shards", type=int, metavar="N", section=INSTEAD, help="Number of shards."),
        option("--workers", type=int, metavar="N", section=INSTEAD, help="Worker processes; 0: none."),
        option("--engine", metavar="NAME|ADDRESS", section=INSTEAD, shell_complete=complete_words(*_ENGINES),
               help="auto, inline, local, ray, dask, spark, or a cluster's address: ray://head:10001, "
               "tcp://scheduler:8786, spark://master:7077."),
    ]  # fmt: skip
    for decorate in reversed(options):
        command = decorate(command)
    return command


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --quiet and --color, for a command that prints in a way of its own."""
    options = [
        option("-q", "--quiet", is_flag=True, expose_value=False, callback=_keep_quiet, section=TELLING,
               help="Print nothing but errors, and what --json prints; the exit code says the rest."),
        option("--color/--no-color", default=None, expose_value=False, callback=_choose_colour, section=TELLING,
               help="Colours [default: on a terminal, unless NO_COLOR is set]."),
    ]  # fmt: skip
    for decorate in reversed(options):
        command = decorate(command)
    return command


def json_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add --json, --quiet and --color."""
    told = "Print one JSON object on stdout, nothing else."
    return option("--json", "as_json", is_flag=True, section=TELLING, help=told)(output_options(command))


deletes_option = option("--allow-deletes", is_flag=True, help="Confirm that an empty or much smaller source is meant.")


configs_option = option(
    "--config", "configs", multiple=True, metavar="YAML|NAME", section=DATASET, shell_complete=complete_config,
    help=f"Settings file, or the name of one in {DATASETS_FOLDER}/; can be given again [default: all there].",
)  # fmt: skip


def wants_progress(*, as_json: bool) -> bool:
    """Return whether progress is to be shown on stderr."""
    return not as_json and not is_quiet()


def settings_from(options: dict[str, Any]) -> "Settings":
    """Return the settings that the options name: a file's, a bare place's, or those of the one dataset here."""
    # Imported where they are used, as everywhere in the program: its help must not wait for them.
    from image_assets.settings import load_settings

    overrides = _overrides(options)
    config = settings_file_of(options)
    return load_settings(config, overrides) if config is not None else _settings_of_place(options, overrides)


def settings_file_of(options: dict[str, Any]) -> Path | None:
    """Return the settings file that the options name, None where they name a bare place.

    Raises:
        ConfigError: there is no such dataset, or it is not said which of several.
    """
    if options["config"] is not None:
        return named_settings_file(options["config"])
    return _only_settings_file() if options["input_dir"] is None else None


def named_settings_file(config: str) -> Path:
    """Return the settings file of a path, or of the name of a dataset of this place.

    Raises:
        ConfigError: there is no dataset of that name.
    """
    # A word is the name of a dataset, where no file is called so.
    named = [datasets_folder() / f"{config}{suffix}" for suffix in (".yaml", ".yml")]
    is_word = Path(config).name == config and not Path(config).suffix and not Path(config).is_file()
    found = next((path for path in named if is_word and path.exists()), Path(config))
    if is_word and found == Path(config) and not found.exists():
        there = ", ".join(path.stem for path in settings_files_here()) or "none"
        raise ConfigError(f"{config!r} is no settings file, and no dataset in {datasets_folder()}/ (there: {there})")
    return found


def same_dataset(options: dict[str, Any]) -> list[str]:
    """Return the words of a command line that name the dataset of these options, for a shell."""
    given = {"--config": options["config"], "--input": options["input_dir"], "--store": options["store"]}
    return [word for name, value in given.items() if value is not None for word in (name, shlex.quote(value))]


def _only_settings_file() -> Path:
    found, folder = settings_files_here(), datasets_folder()
    sample = [path for path in found if path.name == _SAMPLE]
    if len(found) == 1 or sample:
        return (sample or found)[0]
    if not found:
        raise ConfigError(
            f"no --input and no --config given, and there is no settings file in {folder}/; give --input FOLDER, "
            "or write a settings file for your pictures first: image-assets init FOLDER"
        )
    raise ConfigError(
        f"no --input and no --config given, and {folder}/ has {len(found)} settings files; give one with --config: "
        f"{', '.join(path.stem for path in found)}"
    )


def _keep_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    # Before or behind the command.
    ctx.meta[QUIET] = value or bool(ctx.meta.get(QUIET))


def _choose_colour(ctx: click.Context, _: click.Parameter, value: bool | None) -> None:
    if value is not None:
        # The error line is printed by the program itself.
        ctx.find_root().color = ctx.color = value


def _settings_of_place(options: dict[str, Any], overrides: dict[str, Any]) -> "Settings":
    from image_assets.settings import dataset_name_for, is_url, make_settings
    from image_assets.settings.sources import SourceSettings
    from image_assets.sources import kind_of

    place = _absolute(options["input_dir"]) or ""
    if not is_url(place):
        refuse_unprintable(place)
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


def refuse_unprintable(path: str) -> None:
    """Accept a path that is text; settings, JSON and Parquet can hold no other.

    Raises:
        ConfigError: some of its bytes are no UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the name {path!r} is no UTF-8; rename the folder") from error


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
