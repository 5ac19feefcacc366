"""The recipe of a dataset: everything that decides the output bytes of one image, and its fingerprint."""

import hashlib
import json
from typing import Any

from image_assets.core.errors import ConfigError
from image_assets.settings import Settings
from image_assets.transforms import transform_name
from image_assets.transforms.chain import Renderer


def recipe_of(settings: Settings) -> dict[str, Any]:
    """Return the recipe as plain data.

    Raises:
        ConfigError: the settings name a transform, resizer or parameter that does not exist.
    """
    return Renderer(settings).recipe()


def recipe_id_of(settings: Settings) -> str:
    """Return the recipe's fingerprint, 16 hex digits.

    Raises:
        ConfigError: the settings name a transform, resizer or parameter that does not exist.
    """
    return _fingerprint(recipe_of(settings))


def renderer_for(settings: Settings, recipe_id: str) -> Renderer:
    """Return what makes the outputs of a run that began with this recipe.

    A process that starts later finds the code as it is by then, and its pixels must not go under the old recipe.

    Raises:
        ConfigError: the settings are wrong, or the code is not the one that the run began with.
    """
    renderer = Renderer(settings)
    found = _fingerprint(renderer.recipe())
    if found != recipe_id:
        specs = (*settings.transforms, *settings.augment.transforms)
        own = [name for name in map(transform_name, specs) if ":" in name]
        raise ConfigError(
            f"{' or '.join([*own, 'an installed package'])} was changed after the run began: its outputs are stored "
            f"under recipe {recipe_id}, and this worker would make those of {found}; start the run again"
        )
    return renderer


def _fingerprint(recipe: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
