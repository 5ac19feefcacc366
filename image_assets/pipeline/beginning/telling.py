"""What was seen of a place and what was written for it, in words and ready for JSON."""

import os
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from image_assets.core.errors import ConfigError
from image_assets.core.plain_text import shown
from image_assets.core.words import counted, size
from image_assets.pipeline.beginning.choosing import Choice, choose, dataset_name
from image_assets.pipeline.beginning.looking import Look, look_at
from image_assets.pipeline.beginning.writing import settings_text, write_settings
from image_assets.settings import Settings, is_url

_HEIC = {"heic", "heif", "hif"}


def begin_dataset(place: str, how: dict[str, Any]) -> dict[str, Any]:
    """Look at a place, write a settings file for it, and return what was seen, chosen and written.

    Args:
        how: ``kind`` of the place, ``name`` of the dataset, ``store``, ``out`` (the file), ``force``; each may be None.

    Raises:
        ConfigError: there is no such place, the name is none, or the file is there already or cannot be written.
        SourceError: the place cannot be listed.
    """
    look = look_at(place, how.get("kind") or "auto")
    name = how.get("name") or dataset_name(place)
    out = Path(how.get("out") or how["folder"] / f"{name}.yaml")
    store = _store_of(how, out.parent, name)
    seen = seen_lines(look)
    chosen = [
        Choice("name", name, "what it is called in Dagster and in its store"),
        Choice("source.path", place if is_url(place) else _near(out.parent, Path(place)), seen[0]),
        Choice("store", store, "everything that is made lies here; relative to this file"),
        *choose(look),
    ]
    if how.get("kind") and not any(choice.setting == "source.kind" for choice in chosen):
        chosen.append(Choice("source.kind", how["kind"], "as it was given"))
    if problem := _wrong_name(name):
        raise ConfigError(problem)
    write_settings(out, settings_text(chosen, seen), force=bool(how.get("force")))
    return {
        "dataset": name,
        "settings_file": str(out),
        "images": look.images,
        "complete": look.complete,
        "kind": look.kind,
        "seen": seen,
        "chosen": {choice.setting: choice.value for choice in chosen},
        "why": {choice.setting: choice.why for choice in chosen},
    }


def seen_lines(look: Look) -> list[str]:
    """Return what a look has found, a line for each kind of thing; the first says how many images."""
    more = "" if look.complete else "at least "
    if look.columns or (look.kind in {"tables", "urls"} and look.images):
        columns = f", of {', '.join(map(shown, look.columns[:8]))}" if look.columns else ""
        return [f"{look.kind}: {more}{counted(look.images, 'row')}{columns}"]
    if look.kind in {"archives", "huggingface", "tables", "urls"} and not (look.containers or look.images):
        return [f"{look.kind}: what is in it is counted by the first run"]
    where = f"in {counted(len(look.folders), 'folder')}"
    lines = [f"{more}{counted(look.images, 'image')}{_listed(look.endings)}, {size(look.size_bytes)}, {where}"]
    lines += [f"{counted(count, kind[:-1])}, which may hold images" for kind, count in look.containers.items()]
    if look.others:
        lines.append(f"{counted(look.others, 'other file')}{_listed(look.other_endings)}, left out")
    lines += _of_opened(look)
    if _HEIC & set(look.endings) and find_spec("pi_heif") is None:
        lines.append("HEIC images need one more decoder: pip install 'image_assets[heic]'")
    if not look.images and not look.containers:
        lines.append("no image yet: put some there before the first run")
    return lines


def _of_opened(look: Look) -> list[str]:
    lines = []
    turned = sum(header.rotated for header in look.opened)
    if turned:
        lines.append(f"{turned} of {len(look.opened)} images that were opened are turned by EXIF; outputs are upright")
    if look.unreadable:
        names = ", ".join(map(repr, look.unreadable[:3])) + (" ..." if len(look.unreadable) > 3 else "")
        tried = len(look.opened) + len(look.unreadable)
        lines.append(f"{len(look.unreadable)} of {tried} could not be opened: {names}; `image-assets inspect` says why")
    if look.copies:
        lines.append(f"{look.copies} of {look.compared} pairs of one size that were compared are copies to the byte")
    return lines


def _store_of(how: dict[str, Any], folder: Path, name: str) -> str:
    """Return where the store will be, as the settings file has it; what was given starts from here, as all paths do."""
    given = how.get("store")
    if given is not None and not given.strip():
        raise ConfigError("--store: an empty path was given; name a folder")
    return given if given and is_url(given) else _near(folder, Path(given or f"data/store/{name}"))


def _wrong_name(name: str) -> str | None:
    import re

    pattern = next(item.pattern for item in Settings.model_fields["name"].metadata if hasattr(item, "pattern"))
    if re.fullmatch(pattern, name):
        return None
    return f"{name!r} is no name of a dataset: lower case letters, digits and _, a letter first; give another --name"


def _near(folder: Path, place: Path) -> str:
    """Return a path as the settings file has it: from its own folder when it lies below the current one, else whole."""
    whole = place.expanduser().resolve()
    return _from(folder, whole) if whole.is_relative_to(Path.cwd()) else str(whole)


def _from(folder: Path, place: Path) -> str:
    return os.path.relpath(place, folder.resolve())


def _listed(endings: Counter[str]) -> str:
    common = ", ".join(f"{count:,} {shown(name)}" for name, count in endings.most_common(4))
    more = f", {counted(len(endings) - 4, 'more kind')}" if len(endings) > 4 else ""
    return f" ({common}{more})" if common else ""
