"""Which tree a path is the root of."""

import os

from image_assets.core.object_urls import split_object_url
from image_assets.settings import is_url
from image_assets.settings.sources import SourceSettings
from image_assets.sources.kinds import is_container
from image_assets.sources.local_tree import LocalTree
from image_assets.sources.trees import Tree


def build_tree(path: str, settings: SourceSettings) -> Tree:
    """Return the tree below a folder, or below a prefix of a bucket.

    Raises:
        ConfigError: there is no such kind of URL.
    """
    placed = settings.model_copy(update={"path": path})
    if is_url(path):
        from image_assets.sources.object_tree import ObjectTree

        return ObjectTree(placed)
    return LocalTree(placed)


def tree_of_containers(settings: SourceSettings, suffixes: tuple[str, ...]) -> tuple[Tree, str | None]:
    """Return the tree that holds some containers, and the one that is meant when the path names one.

    Raises:
        ConfigError: there is no such kind of URL.
    """
    path = settings.path
    if not is_container(path, suffixes):
        return build_tree(path, settings), None
    folder, name = split_object_url(path) if is_url(path) else os.path.split(path)
    return build_tree(folder, settings), name
