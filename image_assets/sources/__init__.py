"""Plug-ins that say where raw images come from: one file and one line here each."""

from collections.abc import Callable

from image_assets.core.errors import ConfigError
from image_assets.settings import SourceSettings
from image_assets.sources.base import Source
from image_assets.sources.folder import FolderSource
from image_assets.sources.several import PrefixedSource, SeveralSources

SOURCES: dict[str, Callable[[SourceSettings], Source]] = {
    "folder": FolderSource,
    "several": lambda settings: SeveralSources(settings, build_source),
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
    return PrefixedSource(source, settings.prefix) if settings.prefix else source


def kind_of(settings: SourceSettings) -> str:
    """Return the kind of a source, for ``auto`` the one that its path looks like."""
    if settings.kind != "auto":
        return settings.kind
    return "folder"
