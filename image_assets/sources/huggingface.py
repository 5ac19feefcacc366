"""Images of a Hugging Face dataset: on the hub (``hf://owner/name``), or a local copy in the hub's layout."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from image_assets.core.errors import ConfigError, ContainerError, SourceError, SourceFileError, VanishedError
from image_assets.core.listing import Listing
from image_assets.core.split_expressions import RowRange, parse_split
from image_assets.settings import is_url
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.build_tree import build_tree
from image_assets.sources.container_source import ContainerSource
from image_assets.sources.containers import Listed, listing_of
from image_assets.sources.hub_layout import features_in, files_by_split, read_card
from image_assets.sources.hub_tree import HubTree
from image_assets.sources.kinds import HUB_SCHEME
from image_assets.sources.tables import TableShelf
from image_assets.sources.trees import Tree

_MOST_CARD_BYTES = 16 * 2**20


class HuggingFaceSource:
    """The rows of a subset's splits. Keys are ``path#row number``, whatever split expression chose the rows."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = _with_query(settings)
        self._tree = _tree(self._settings)
        shelf = TableShelf(self._settings, self._tree, lambda: features_in(self._card, self._settings.subset))
        self._source = ContainerSource(self._tree, shelf)

    def list(self) -> Listing:
        """Return a snapshot of the chosen rows, sorted by (bucket, key).

        Raises:
            SourceError: the dataset is missing, has no table, or cannot be listed.
            ConfigError: there is no such subset or split.
            MissingExtraError: it is on the hub, whose client is not installed.
        """
        found, others = self._source.files()
        if not found:
            where = self._settings.path
            raise SourceError(f"dataset {where} holds no Parquet or Arrow table; a folder of images is kind: folder")
        by_path = {file.path: file for file in found}
        splits = files_by_split(sorted(by_path), self._card, self._settings.subset)
        files = [by_path[path] for path in dict.fromkeys(path for paths in splits.values() for path in paths)]
        held = {file.path: item for file, item in self._source.listed(files)}
        rows_of = {split: sum(_rows(held[path]) for path in paths) for split, paths in splits.items()}
        ranges = parse_split(self._settings.split or "all", rows_of)
        chosen = _chosen(splits, held, ranges)
        taken = [file for file in files if file.path in chosen]
        others += len(found) - len(taken)
        return listing_of([(file, chosen[file.path]) for file in taken], others)

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return the image of one row.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: it is gone.
        """
        return self._source.read(key, locator, max_bytes=max_bytes)

    @cached_property
    def _card(self) -> Mapping[str, Any]:
        try:
            reader = self._tree.open("README.md", None)
        except VanishedError:
            return {}
        except SourceFileError as error:
            raise SourceError(f"README.md of the dataset cannot be read: {error.detail}") from error
        try:
            return read_card(reader.read_at(0, min(reader.size_bytes, _MOST_CARD_BYTES)))
        finally:
            reader.close()


def _tree(settings: SourceSettings) -> Tree:
    if not settings.path.startswith(HUB_SCHEME):
        return build_tree(settings.path, settings)
    name = settings.path.removeprefix(HUB_SCHEME).removeprefix("datasets/")
    found = re.fullmatch(r"(?P<id>[\w.-]+/[\w.-]+|[\w.-]+)(?:@(?P<revision>[\w./-]+))?", name)
    if found is None:
        raise ConfigError(f"{settings.path!r} is no dataset of the hub; write hf://owner/name")
    return HubTree(found["id"], found["revision"])


def _with_query(settings: SourceSettings) -> SourceSettings:
    """Return the settings with what stands behind the ``?`` of the URL put where it belongs."""
    if not is_url(settings.path) or not settings.path.startswith(HUB_SCHEME):
        return settings
    path, _, query = settings.path.partition("?")
    said = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    if unknown := sorted(set(said) - {"subset", "split"}):
        raise ConfigError(f"unknown option {unknown[0]!r} of {HUB_SCHEME}; known: split, subset")
    for name, value in said.items():
        if getattr(settings, name) not in (None, value):
            raise ConfigError(f"source.{name} and the URL differ: {getattr(settings, name)!r} and {value!r}")
    return settings.model_copy(update={**said, "path": path})


def _rows(item: Listed | ContainerError) -> int:
    return item.held.rows.num_rows if isinstance(item, Listed) else 0


def _chosen(
    splits: Mapping[str, Sequence[str]], held: Mapping[str, Listed | ContainerError], ranges: Sequence[RowRange]
) -> dict[str, Listed | ContainerError]:
    """Return what the files hold of some ranges of rows; files without such a row are left out.

    Raises:
        SourceError: a part of a split was asked for, and a file of it cannot be listed: nobody knows which rows it is.
    """
    masks = {path: np.zeros(_rows(item), bool) for path, item in held.items()}
    chosen: dict[str, Listed | ContainerError] = {}
    for wanted in ranges:
        first = 0
        for path in splits[wanted.split]:
            item = held[path]
            if isinstance(item, ContainerError):
                if not wanted.whole:
                    raise SourceError(f"{path} cannot be listed, and a part of {wanted.split!r} was asked for: {item}")
                chosen[path] = item
                continue
            masks[path][max(wanted.start - first, 0) : max(wanted.end - first, 0)] = True
            first += _rows(item)
            if masks[path].any():
                chosen[path] = replace(item, taken=masks[path])
    return chosen
