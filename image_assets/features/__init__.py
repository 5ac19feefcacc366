"""Plug-ins that turn pixels into vectors: one file and one line here each."""

from collections.abc import Callable
from pathlib import Path

from image_assets.core.errors import ConfigError
from image_assets.features.base import Extractor
from image_assets.features.colour_moments import ColourMoments
from image_assets.features.efficientnet_lite0 import build_efficientnet_lite0

# Each is given a folder to keep derived model files in, and how many threads to compute with.
EXTRACTORS: dict[str, Callable[[Path, int], Extractor]] = {
    "colour-moments": lambda _cache_dir, _threads: ColourMoments(),
    "efficientnet-lite0": build_efficientnet_lite0,
}


def build_extractor(name: str, *, cache_dir: Path, threads: int) -> Extractor:
    """Return the extractor of that name.

    Args:
        cache_dir: folder for derived model files, made when needed; may be shared by processes and deleted any time.

    Raises:
        ConfigError: there is none of that name, ``threads`` is below 1, or its weights are unusable.
        MissingExtraError: the package that holds its weights is not installed.
        StoreError: ``cache_dir`` cannot be written.
    """
    if name not in EXTRACTORS:
        raise ConfigError(f"unknown feature extractor {name!r}; known: {', '.join(sorted(EXTRACTORS))}")
    if threads < 1:
        raise ConfigError(f"feature extraction with {threads} threads is not possible; give 1 or more")
    return EXTRACTORS[name](cache_dir, threads)
