"""What the settings of a new dataset should be, and why: rules over what a look has found."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from image_assets.core.plain_text import shown
from image_assets.pipeline.beginning.looking import Look
from image_assets.settings import as_dataset_name, is_url

_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test"}
_DATE = re.compile(r"\d{4}[-_]?\d{2}([-_]?\d{2})?|\d+")
_SIZES_PX = (32, 64, 96, 128, 160, 192, 224)
_LEAST_SPLIT = 100
# Hashing and measuring take a millisecond an image; so many take a quarter of an hour.
_MANY = 1_000_000
_KEY_COLUMNS = ("filename", "file_name", "file", "image", "path", "key")
_LABEL_COLUMNS = ("label", "class", "category", "target")


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting (``image.width_px``), its value, and why it was chosen."""

    setting: str
    value: Any
    why: str


def choose(look: Look) -> list[Choice]:
    """Return what differs from the defaults, or is worth a word, for what a look has found."""
    rules = (_kind, _columns, _shards, _labels, _size, _mode, _frames, _duplicates, _splits, _quality, _report)
    return [choice for rule in rules for choice in rule(look)]


def dataset_name(place: str) -> str:
    """Return a name for the dataset of a place: its last part, in the letters that a name may have."""
    last = place.partition("?")[0].rstrip("/").rpartition("/")[2] if is_url(place) else Path(place).resolve().name
    return as_dataset_name(last.partition(".")[0])


def _kind(look: Look) -> list[Choice]:
    more, count = look.containers.most_common(1)[0] if look.containers else ("", 0)
    if look.kind in {"folder", "bucket"} and count > look.images:
        return [Choice("source.kind", more, f"{count:,} files that hold images, and {look.images:,} plain images")]
    return []


def _columns(look: Look) -> list[Choice]:
    """Choose the column of labels where it is called otherwise than by default."""
    named = {column.lower(): column for column in look.columns}
    found = next((named[name] for name in _LABEL_COLUMNS if name in named), None)
    if found is None or found == _LABEL_COLUMNS[0]:
        return []
    return [Choice("source.label_column", found, f"of the columns {', '.join(look.columns[:8])}")]


def _shards(look: Look) -> list[Choice]:
    count = 64 if not look.complete or look.images >= 200_000 else 32 if look.images >= 20_000 else 16
    many = f", for {_about(look)} images {count}" if look.images else ""
    return [Choice("num_shards", count, f"partitions; 16-64 is the advice{many}; `image-assets reshard` changes it")]


def _labels(look: Look) -> list[Choice]:
    if look.kind not in {"folder", "bucket"} or not look.images:
        return []
    if (found := _label_file(look)) is not None:
        return found
    names = _label_names(look)
    at_top = look.folders.get("", 0)
    if not names:
        return [Choice("labels.kind", "none", "all images lie at the top: there is no folder to name a label")]
    if all(_DATE.fullmatch(name) for name in names) or len(names) > look.images / 2:
        return [Choice("labels.kind", "none", f"folders such as {_some(names)} look like no labels")]
    without = f"; {at_top:,} at the top have none" if at_top else ""
    return [Choice("labels.kind", "directory", f"the folder's name: {len(names):,} labels, {_some(names)}{without}")]


def _label_file(look: Look) -> list[Choice] | None:
    if is_url(look.place):
        return None
    for name in look.label_files:
        path = Path(look.place) / name
        try:
            with path.open(encoding="utf-8-sig") as file:
                columns = [column.strip().strip('"') for column in file.readline(4096).split(",")]
        except (OSError, UnicodeDecodeError):
            continue
        key = next((column for column in columns if column.lower() in _KEY_COLUMNS), None)
        label = next((column for column in columns if column.lower() in _LABEL_COLUMNS), None)
        if key is not None and label is not None:
            return [
                Choice("labels.kind", "file", f"{name} has a column of file names and one of labels"),
                Choice("labels.path", str(path.resolve()), "one row an image; its keys are paths below the source"),
                Choice("labels.key_column", key, "the column of the file names"),
                Choice("labels.label_column", label, "the column of the labels"),
            ]
    return None


def _size(look: Look) -> list[Choice]:
    if not look.opened:
        return []
    shorter = int(median(min(header.width_px, header.height_px) for header in look.opened))
    size = max((px for px in _SIZES_PX if px <= shorter), default=_SIZES_PX[0])
    seen = f"the shorter side of {len(look.opened)} images is {shorter} px in the middle"
    why = f"{seen}; what most models take" if size == _SIZES_PX[-1] else f"{seen}; more would only enlarge them"
    return [Choice("image.width_px", size, why), Choice("image.height_px", size, "the same")]


def _mode(look: Look) -> list[Choice]:
    grey = sum(header.mode in {"L", "1", "I;16", "I", "LA"} for header in look.opened)
    if look.opened and grey == len(look.opened):
        return [Choice("image.mode", "L", f"all {grey} images that were opened are grey")]
    return []


def _frames(look: Look) -> list[Choice]:
    moving = sum(header.moving for header in look.opened)
    if not moving:
        return []
    why = f"{moving} of {len(look.opened)} images that were opened have several frames or pages; `all` takes each"
    return [Choice("image.frames", "first", why)]


def _duplicates(look: Look) -> list[Choice]:
    if look.images > _MANY:
        return []
    same = f"{look.copies} pairs are the same to the byte" if look.copies else "found with each run"
    return [Choice("duplicates.enabled", value=True, why=f"{same}; splits keep copies together")]


def _splits(look: Look) -> list[Choice]:
    tops = {folder.partition("/")[0].lower() for folder in look.folders if folder}
    if tops and tops <= _SPLIT_NAMES and "train" in " ".join(tops):
        return [
            Choice("splits.method", "column", f"the top folders name them: {_some(Counter(tops))}"),
            Choice("splits.column", "top_folder", "the first part of an image's path"),
        ]
    # Nobody knows yet how many there are in a folder of tables.
    counted = look.images or look.kind in {"folder", "bucket"}
    if counted and look.images < _LEAST_SPLIT:
        return [Choice("splits.method", "none", f"{_about(look)} images are few to divide; `fractions` does it")]
    return [Choice("splits.method", "fractions", "80 % train, 10 % val, 10 % test, the same of every label")]


def _quality(look: Look) -> list[Choice]:
    why = "dark, blurred, odd images and drift are named with each run"
    if look.images > _MANY:
        return []
    measured = Choice("quality.enabled", value=True, why=why)
    if any(choice.value == "none" for choice in _labels(look)):
        return [measured, Choice("quality.label_coverage.min_fraction", 0.0, "there are no labels to miss")]
    return [measured]


def _report(look: Look) -> list[Choice]:
    return (
        [Choice("report.enabled", value=True, why="a page of HTML for people without Dagster")] if look.images else []
    )


def _label_names(look: Look) -> Counter[str]:
    names: Counter[str] = Counter()
    for folder, count in look.folders.items():
        if folder:
            names[os.path.basename(folder)] += count  # noqa: PTH119  a key is no path of this machine
    return names


def _some(names: Counter[str]) -> str:
    some = [shown(name) for name, _ in sorted(names.most_common(3))]
    return ", ".join(some) + (" ..." if len(names) > len(some) else "")


def _about(look: Look) -> str:
    return f"{look.images:,}" if look.complete else f"more than {look.images:,}"
