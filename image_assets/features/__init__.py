"""Plug-ins that turn pixels into vectors: one file and one line here each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from image_assets.core.errors import ConfigError
from image_assets.features.base import Extractor
from image_assets.features.colour_moments import ColourMoments
from image_assets.features.efficientnet_lite0 import build_efficientnet_lite0, efficientnet_lite0_digest


@dataclass(frozen=True, slots=True)
class ExtractorKind:
    """How an extractor is made, and its digest without making it.

    ``build`` is given a folder to keep derived model files in, and how many threads to compute with.
    """

    build: Callable[[Path, int], Extractor]
    digest: Callable[[], str]


EXTRACTORS: dict[str, ExtractorKind] = {
    "colour-moments": ExtractorKind(lambda _cache_dir, _threads: ColourMoments(), lambda: ColourMoments.digest),
    "efficientnet-lite0": ExtractorKind(build_efficientnet_lite0, efficientnet_lite0_digest),
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
    kind = _find(name)
    if threads < 1:
        raise ConfigError(f"feature extraction with {threads} threads is not possible; give 1 or more")
    return kind.build(cache_dir, threads)


def extractor_digest(name: str) -> str:
    """Return an extractor's digest without loading its model or writing anything.

    Raises:
        ConfigError: there is none of that name, or its weights are unusable.
        MissingExtraError: the package that holds its weights is not installed.
    """
    return _find(name).digest()


def _find(name: str) -> ExtractorKind:
    if name not in EXTRACTORS:
        raise ConfigError(f"unknown feature extractor {name!r}; known: {', '.join(sorted(EXTRACTORS))}")
    return EXTRACTORS[name]
