"""Plug-ins that say where raw images come from: one file and one line here each."""

from collections.abc import Callable

from image_assets.core.errors import ConfigError
from image_assets.settings import SourceSettings
from image_assets.sources.base import Source
from image_assets.sources.folder import FolderSource

SOURCES: dict[str, Callable[[SourceSettings], Source]] = {
    "folder": FolderSource,
}


def build_source(settings: SourceSettings) -> Source:
    """Return the source that the settings name.

    Raises:
        ConfigError: there is none of that kind.
    """
    if settings.kind not in SOURCES:
        raise ConfigError(f"unknown source {settings.kind!r}; known: {', '.join(sorted(SOURCES))}")
    return SOURCES[settings.kind](settings)
