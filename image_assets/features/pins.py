"""Digests of models: of what they are made, and whether they are the ones that the settings name."""

import hashlib
from pathlib import Path

from image_assets.core.errors import ConfigError
from image_assets.settings.features import FeatureSettings

_READ_BYTES = 2**20


def check_pin(features: FeatureSettings, found: str, what: str) -> None:
    """Accept a model with the digest that the settings name, or any when they name none.

    Raises:
        ConfigError: it has another.
    """
    if features.sha256 not in (None, found):
        raise ConfigError(
            f"features.sha256 is {features.sha256}, but {what} has {found}: it is another model; correct one of the two"
        )


def file_sha256(path: Path, setting: str) -> str:
    """Return the digest of a model's file.

    Raises:
        ConfigError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                digest.update(piece)
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}; name a file") from error
    return digest.hexdigest()


def refuse_settings(features: FeatureSettings, *names: str) -> None:
    """Accept settings in which those that an extractor has no use for are not set.

    Raises:
        ConfigError: one of them is.
    """
    for name in names:
        if getattr(features, name) != FeatureSettings.model_fields[name].default:
            raise ConfigError(f"features.{name} does not go with features.extractor {features.extractor}; leave it out")


def combined_digest(*parts: str) -> str:
    """Return one digest over several texts, which hold no NUL."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
