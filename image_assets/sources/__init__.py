"""Plug-ins that say where raw images come from: one file and one line here each."""

from collections.abc import Callable

from image_assets.core.errors import ConfigError
from image_assets.core.object_urls import is_object_url
from image_assets.settings import SourceSettings
from image_assets.sources.archives import ARCHIVE_SUFFIXES, archive_source
from image_assets.sources.base import Source
from image_assets.sources.bucket import BucketSource
from image_assets.sources.build_tree import is_container
from image_assets.sources.folder import FolderSource
from image_assets.sources.huggingface import HUB_SCHEME, HuggingFaceSource
from image_assets.sources.several import several_sources, with_prefix
from image_assets.sources.tables import TABLE_SUFFIXES, table_source
from image_assets.sources.urls import UrlSource

SOURCES: dict[str, Callable[[SourceSettings], Source]] = {
    "archives": archive_source,
    "bucket": BucketSource,
    "folder": FolderSource,
    "huggingface": HuggingFaceSource,
    "tables": table_source,
    "several": lambda settings: several_sources(settings, build_source),
    "urls": UrlSource,
}


def build_source(settings: SourceSettings) -> Source:
    """Return the source that the settings name.

    Raises:
        ConfigError: there is none of that kind.
    """
    kind = kind_of(settings)
    if kind not in SOURCES:
        raise ConfigError(f"unknown source {settings.kind!r}; known: auto, {', '.join(sorted(SOURCES))}")
    source = SOURCES[kind](settings)
    return with_prefix(source, settings.prefix) if settings.prefix else source


def kind_of(settings: SourceSettings) -> str:
    """Return the kind of a source, for ``auto`` the one that its path looks like."""
    if settings.kind != "auto":
        return settings.kind
    if settings.path.startswith(HUB_SCHEME):
        return "huggingface"
    if is_container(settings.path, ARCHIVE_SUFFIXES):
        return "archives"
    if is_container(settings.path, TABLE_SUFFIXES):
        return "tables"
    if is_object_url(settings.path):
        return "bucket"
    return "folder"
