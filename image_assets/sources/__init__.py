"""Plug-ins that say where raw images come from: one file and one line here each, imported when one is built."""

from collections.abc import Callable

from image_assets.core.errors import ConfigError
from image_assets.core.object_urls import is_object_url
from image_assets.settings import is_url
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import Source
from image_assets.sources.kinds import ARCHIVE_SUFFIXES, HUB_SCHEME, TABLE_SUFFIXES, is_container, is_list_of_urls


def build_source(settings: SourceSettings) -> Source:
    """Return the source that the settings name.

    Raises:
        ConfigError: there is none of that kind, it has no columns to take, or the path is a URL of which there is none.
    """
    kind = kind_of(settings)
    if kind not in SOURCES:
        raise ConfigError(f"unknown source {settings.kind!r}; known: auto, {', '.join(sorted(SOURCES))}")
    if settings.extra_columns and kind in {"bucket", "folder"}:
        raise ConfigError(f"source {settings.path}: a {kind} has no columns; take source.extra_columns away")
    source = SOURCES[kind](settings)
    if not settings.prefix:
        return source
    from image_assets.sources.several import with_prefix

    return with_prefix(source, settings.prefix)


def kind_of(settings: SourceSettings) -> str:
    """Return the kind of a source, for ``auto`` the one that its path looks like."""
    if settings.kind != "auto":
        return settings.kind
    if settings.path.startswith(HUB_SCHEME):
        return "huggingface"
    if is_container(settings.path, ARCHIVE_SUFFIXES):
        return "archives"
    if is_list_of_urls(settings):
        return "urls"
    if is_container(settings.path, TABLE_SUFFIXES):
        return "tables"
    return "bucket" if is_object_url(settings.path) else "folder"


def _archives(settings: SourceSettings) -> Source:
    from image_assets.sources.archives import archive_source

    return archive_source(settings)


def _bucket(settings: SourceSettings) -> Source:
    from image_assets.sources.bucket import BucketSource

    return BucketSource(settings)


def _folder(settings: SourceSettings) -> Source:
    if is_url(settings.path):
        raise ConfigError(
            f"source {settings.path} is no folder and no bucket; images on the web are named, one URL a line, "
            "in a text file (kind: urls)"
        )
    from image_assets.sources.folder import FolderSource

    return FolderSource(settings)


def _huggingface(settings: SourceSettings) -> Source:
    from image_assets.sources.huggingface import HuggingFaceSource

    return HuggingFaceSource(settings)


def _several(settings: SourceSettings) -> Source:
    if not settings.parts:
        raise ConfigError("several sources are written as a list of places, each with a path and a prefix")
    from image_assets.sources.several import several_sources

    return several_sources(settings, build_source)


def _tables(settings: SourceSettings) -> Source:
    from image_assets.sources.tables import table_source

    return table_source(settings)


def _urls(settings: SourceSettings) -> Source:
    from image_assets.sources.urls import UrlSource

    return UrlSource(settings)


SOURCES: dict[str, Callable[[SourceSettings], Source]] = {
    "archives": _archives,
    "bucket": _bucket,
    "folder": _folder,
    "huggingface": _huggingface,
    "tables": _tables,
    "several": _several,
    "urls": _urls,
}
