"""Several datasets side by side: which files of a folder are settings, and which of them cannot go together."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path, PurePosixPath

from image_assets.core.errors import ConfigError
from image_assets.core.object_urls import is_object_url, parse_object_url
from image_assets.core.settings_files import is_settings_file
from image_assets.settings import Settings


def settings_files(folder: Path) -> list[Path]:
    """Return every ``*.yaml`` and ``*.yml`` file of a folder, in order of their names.

    Raises:
        ConfigError: there is no file, or no folder.
    """
    paths = sorted(path for path in folder.glob("*") if is_settings_file(path.name))
    if not paths:
        raise ConfigError(f"no settings file (*.yaml) in {folder.resolve()}; write one for each dataset")
    return paths


def find_conflicts(datasets: Mapping[str, Settings]) -> dict[str, str]:
    """Return why datasets cannot go together, for each that is part of it; none of them is right and the others wrong.

    Two datasets in one place would each undo what the other does.

    Args:
        datasets: settings by where they were read.
    """
    found: dict[str, str] = {}
    for (one, first), (two, second) in combinations(datasets.items(), 2):
        if why := _conflict(first, second):
            found.setdefault(one, f"{one} and {two} {why}")
            found.setdefault(two, f"{two} and {one} {why}")
    return found


def _conflict(first: Settings, second: Settings) -> str | None:
    if first.name == second.name:
        return f"have the same name {first.name!r}; give each dataset a name of its own"
    one, two = _place(first.store), _place(second.store)
    if one == two:
        return f"have the same store {first.store!r}; give each dataset a store of its own"
    if one == two[: len(one)] or two == one[: len(two)]:
        outer, inner = sorted((first.store, second.store), key=lambda store: len(_place(store)))
        return f"have one store inside the other: {inner!r} in {outer!r}; give each dataset a store of its own"
    return None


def _place(store: str) -> tuple[str, ...]:
    """Return where a store is, outermost part first; how it is reached (a region, a profile) makes no difference."""
    if is_object_url(store):
        url = parse_object_url(store)
        host = (url.kind, url.options.get("account", ""), url.options.get("endpoint_url", ""), url.bucket)
        return *host, *PurePosixPath(url.prefix).parts
    scheme, mark, rest = store.partition("://")
    return (scheme, *PurePosixPath(rest).parts) if mark else Path(store).parts
