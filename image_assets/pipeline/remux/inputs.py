"""The tables of a dataset in Hugging Face layout, by split: a folder, a single table, a bucket's prefix, or the hub."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image_assets.core.errors import SourceError
from image_assets.core.object_urls import is_object_url
from image_assets.pipeline.remux.places import Place
from image_assets.settings.sources import SourceSettings
from image_assets.sources.build_tree import build_tree, tree_of_containers
from image_assets.sources.hub_layout import features_in, files_by_split, read_card
from image_assets.sources.hub_tree import HubTree

_TABLES = (".parquet", ".arrow")
_HUB_ID = re.compile(r"(?:hf://)?(?:datasets/)?(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's tables by split, each split's in their order, and what its card says of the columns."""

    place: Place
    files: Mapping[str, Sequence[str]]
    features: Mapping[str, Any] = field(default_factory=dict)


def open_dataset(name: str, subset: str | None) -> Dataset:
    """Return the dataset of that name.

    Raises:
        ConfigError: the subset does not exist, or must be named.
        SourceError: there is nothing of that name, or no table in it.
        MissingExtraError: it is on the hub, whose client is not installed.
    """
    path = Path(name).expanduser()
    # Links are followed, because the hub's cache consists of them; what they lead to are tables, and only read.
    settings = SourceSettings(path=name if is_object_url(name) else str(path.absolute()), follow_symlinks=True)
    if path.is_file() or is_object_url(name):
        tree, table = tree_of_containers(settings, _TABLES)
        if table is not None:
            return Dataset(Place(tree, path.absolute().parent if path.is_file() else None), {"train": [table]})
        if path.is_file():
            raise SourceError(f"--dataset {name} is no table; its name must end in {' or '.join(_TABLES)}")
        return _in_layout(Place(tree, None), name, subset)
    if path.is_dir():
        return _in_layout(Place(build_tree(settings.path, settings), path.absolute()), name, subset)
    found = _HUB_ID.fullmatch(name)
    if found is None:
        raise SourceError(f"--dataset {name} is neither a folder, a file, nor an id (owner/name) on the hub")
    return _in_layout(Place(HubTree(found["id"], found["revision"]), None), name, subset)


def _in_layout(place: Place, name: str, subset: str | None) -> Dataset:
    if "dataset_dict.json" in place.names:
        return _saved_splits(place, name)
    if "state.json" in place.names:
        return Dataset(place, {"train": _saved_files(place, "")})
    tables = [path for path in place.names if path.endswith(_TABLES)]
    if not tables:
        raise SourceError(f"no Parquet or Arrow table in dataset {name}")
    card = read_card(place.read("README.md")) if "README.md" in place.names else {}
    return Dataset(place, files_by_split(tables, card, subset), features_in(card, subset))


def _saved_splits(place: Place, name: str) -> Dataset:
    """Return what ``DatasetDict.save_to_disk`` wrote."""
    try:
        splits = json.loads(place.read("dataset_dict.json"))["splits"]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"dataset_dict.json of dataset {name} says no splits") from error
    return Dataset(place, {str(split): _saved_files(place, f"{split}/") for split in splits})


def _saved_files(place: Place, folder: str) -> list[str]:
    """Return what ``Dataset.save_to_disk`` wrote."""
    try:
        state = json.loads(place.read(f"{folder}state.json"))
        return [f"{folder}{each['filename']}" for each in state["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{folder}state.json of the dataset names no data files") from error
