"""Plug-ins that turn pixels into vectors: one file and one line here each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from image_assets.core.errors import ConfigError
from image_assets.features.base import Extractor
from image_assets.features.colour_moments import build_colour_moments, colour_moments_digest
from image_assets.features.efficientnet_lite0 import build_efficientnet_lite0, efficientnet_lite0_digest
from image_assets.features.onnx_model import build_onnx_model, onnx_model_digest, onnx_name
from image_assets.features.pins import combined_digest
from image_assets.features.timm_model import bare_timm_model
from image_assets.features.torch_model import BareModels, build_torch_model, known_torch_digest, torch_model_digest
from image_assets.features.torchvision_model import bare_torchvision_model
from image_assets.settings.features import FeatureSettings


@dataclass(frozen=True, slots=True)
class ExtractorKind:
    """How an extractor is made, and its digest.

    ``build`` is given a folder to keep derived model files in, and how many threads to compute with. ``digest`` neither
    writes anything nor loads the model, unless nothing but the model can tell it: weights that a library downloads.
    ``quick_digest`` is None for these, without loading anything; an extractor without it has a quick ``digest``.
    """

    build: Callable[[FeatureSettings, Path, int], Extractor]
    digest: Callable[[FeatureSettings], str]
    quick_digest: Callable[[FeatureSettings], str | None] | None = None


EXTRACTORS: dict[str, ExtractorKind] = {
    "colour-moments": ExtractorKind(build_colour_moments, colour_moments_digest),
    "efficientnet-lite0": ExtractorKind(build_efficientnet_lite0, efficientnet_lite0_digest),
}


def _torch_kind(bare_model: BareModels) -> ExtractorKind:
    return ExtractorKind(
        lambda features, _cache_dir, _threads: build_torch_model(features, bare_model),
        lambda features: torch_model_digest(features, bare_model),
        known_torch_digest,
    )


# Kinds of models that are named by a file or an id, which follows the colon.
MODEL_KINDS: dict[str, ExtractorKind] = {
    "onnx:": ExtractorKind(build_onnx_model, onnx_model_digest),
    "timm:": _torch_kind(bare_timm_model),
    "torchvision:": _torch_kind(bare_torchvision_model),
}


def build_extractor(features: FeatureSettings, *, cache_dir: Path, threads: int) -> Extractor:
    """Return the extractor that the settings name.

    Args:
        cache_dir: folder for derived model files, made when needed; may be shared by processes and deleted any time.

    Raises:
        ConfigError: there is none of that name, ``threads`` is below 1, or its weights are unusable or others than the
            settings say.
        MissingExtraError: a package that it needs is not installed.
        StoreError: ``cache_dir`` cannot be written.
    """
    kind = _find(features.extractor)
    if threads < 1:
        raise ConfigError(f"feature extraction with {threads} threads is not possible; give 1 or more")
    return kind.build(features, cache_dir, threads)


def extractor_digest(features: FeatureSettings) -> str:
    """Return the digest of the extractor that the settings name.

    Raises:
        ConfigError: there is none of that name, or its weights are unusable or others than the settings say.
        MissingExtraError: a package that it needs is not installed.
    """
    return _find(features.extractor).digest(features)


def quick_digest(features: FeatureSettings) -> str | None:
    """Return the digest of the extractor that the settings name; None when that would take loading its model.

    Raises:
        ConfigError: there is none of that name, or its weights are unusable or others than the settings say.
        MissingExtraError: a package that it needs is not installed.
    """
    kind = _find(features.extractor)
    return (kind.quick_digest or kind.digest)(features)


def digest_of_vectors(features: FeatureSettings) -> str:
    """Return the digest of the vectors that the settings want: of the extractor and the type of the numbers.

    Raises:
        ConfigError: as :func:`extractor_digest`.
        MissingExtraError: as :func:`extractor_digest`.
    """
    return vectors_digest(extractor_digest(features), features.dtype)


def vectors_digest(digest: str, dtype: str) -> str:
    """Return the digest of an extractor's vectors as they are kept; in float32 it is that of the extractor."""
    return digest if dtype == "float32" else combined_digest(dtype, digest)


def extractor_name(named: str) -> str:
    """Return what an extractor calls itself: what the settings call it, of a file without its folder."""
    return onnx_name(named) if named.startswith("onnx:") else named


def check_extractor(name: str) -> None:
    """Accept the name of an extractor that there is, as far as a name tells.

    Raises:
        ConfigError: there is none of that name.
    """
    _find(name)


def features_word(features: FeatureSettings) -> str:
    """Return one word for all that the settings say of vectors; without any but a name it is that name."""
    if features == FeatureSettings(extractor=features.extractor) and ":" not in features.extractor:
        return features.extractor
    return f"{features.extractor.partition(':')[0]}-{combined_digest(features.model_dump_json())[:12]}"


def _find(name: str) -> ExtractorKind:
    for prefix, kind in MODEL_KINDS.items():
        if name.startswith(prefix) and name != prefix:
            return kind
    if name not in EXTRACTORS:
        known = ", ".join([*sorted(EXTRACTORS), "onnx:FILE", "timm:MODEL", "torchvision:MODEL", "none"])
        raise ConfigError(f"unknown feature extractor {name!r}; known: {known}")
    return EXTRACTORS[name]
