"""The number of shards in settings, and in the file that they were read from."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

import yaml

from image_assets.core.errors import ConfigError
from image_assets.settings import Settings, load_settings


def with_shards(settings: Settings, num_shards: int) -> Settings:
    """Return the settings with another number of shards.

    Raises:
        ConfigError: it is none that a dataset can have.
    """
    if not 1 <= num_shards <= 4096:
        raise ConfigError(f"{num_shards} shards are not possible; give 1 to 4096 (16-64 is the advice)")
    return settings.model_copy(update={"num_shards": num_shards})


def write_num_shards(path: Path, num_shards: int) -> None:
    """Set ``num_shards`` in a settings file; every other character stays.

    Raises:
        ConfigError: the file is wrong, cannot be written, or is written in a way that this cannot change.
    """
    # A link stays one, and the file's own folder is where its paths start, here and in the copy.
    place = path.resolve()
    settings = load_settings(place)
    wanted = with_shards(settings, num_shards)
    if settings == wanted:
        return
    part = place.with_name(f".image-assets-{secrets.token_hex(4)}.yaml.part")
    try:
        # Opened for writing, so that a file which may not be written is not replaced either.
        with place.open("r+", encoding="utf-8", newline="") as file:
            part.write_text(_with_num_shards(file.read(), num_shards), encoding="utf-8", newline="")
        part.chmod(place.stat().st_mode)
        if not _holds(part, wanted):
            raise ConfigError("more than this one setting would change")
        os.replace(part, place)  # noqa: PTH105
    except (ConfigError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        line = f"num_shards: {num_shards}"
        raise ConfigError(f"settings file {path} cannot be changed ({why}); write `{line}` into it") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _with_num_shards(text: str, num_shards: int) -> str:
    """Return the text of a settings file with another number, put where YAML itself finds the old one.

    Raises:
        ConfigError: it is no mapping.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError("it holds no settings")
    for name, value in root.value:
        if name.value == "num_shards":
            start, end = value.start_mark.index, value.end_mark.index
            # A plain number may have an anchor before it, which stays.
            kept = text[start:end].removesuffix(value.value) if not value.style else ""
            return f"{text[:start]}{kept}{num_shards}{text[end:]}"
    first = root.value[0][0].start_mark
    if root.flow_style:
        return f"{text[: first.index]}num_shards: {num_shards}, {text[first.index :]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    before, rest = text[: root.end_mark.index], text[root.end_mark.index :]
    gap = "" if before.endswith("\n") else newline
    return f"{before}{gap}{' ' * first.column}num_shards: {num_shards}{newline}{rest}"


def _holds(part: Path, wanted: Settings) -> bool:
    try:
        return load_settings(part) == wanted
    except ConfigError:
        return False
