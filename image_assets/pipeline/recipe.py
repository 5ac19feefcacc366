"""The recipe of a dataset: everything that decides the output bytes of one image, and its fingerprint."""

import hashlib
import json
from typing import Any

from image_assets.settings import Settings
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
    return hashlib.sha256(json.dumps(recipe_of(settings), sort_keys=True).encode()).hexdigest()[:16]
