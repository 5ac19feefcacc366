"""Normalised pixels against the same sums in double precision."""

import numpy as np
import pytest

from image_assets.core.errors import ConfigError
from image_assets.formats.base import ExportOptions
from image_assets.formats.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize

EVERY_VALUE = np.stack([np.arange(256, dtype=np.uint8)] * 3, axis=-1).reshape(16, 16, 3)


@pytest.mark.parametrize(
    ("normalization", "exact"),
    [
        ("0-1", lambda x: x / 255),
        ("-1-1", lambda x: x / 127.5 - 1),
        ("imagenet", lambda x: (x / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)),
    ],
)
def test_every_pixel_value_is_scaled_to_the_last_digits(normalization, exact):
    scaled = normalize(EVERY_VALUE, normalization)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, exact(EVERY_VALUE.astype(np.float64)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("normalization", "low"), [("0-1", 0.0), ("-1-1", -1.0)])
def test_black_and_white_are_exactly_the_ends(normalization, low):
    scaled = normalize(EVERY_VALUE, normalization)
    assert (scaled.min(), scaled.max()) == (low, 1.0)


@pytest.mark.parametrize("normalization", ["0-1", "-1-1", "imagenet"])
def test_half_precision_is_the_float32_rounded_once(normalization):
    half = normalize(EVERY_VALUE, normalization, "float16")
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, normalize(EVERY_VALUE, normalization).astype(np.float16))
    # Half a step of the coarsest numbers there are, between 2 and 4: 2 ** -10.
    assert np.abs(half.astype(np.float64) - normalize(EVERY_VALUE, normalization)).max() <= 2**-10


def test_half_precision_of_pixels_as_they_are_is_refused():
    with pytest.raises(ConfigError, match="float16 goes with normalised pixels; give --normalize"):
        ExportOptions(real="float16")


def test_none_leaves_pixels_as_they_are():
    assert normalize(EVERY_VALUE, "none") is EVERY_VALUE


def test_the_pixels_passed_in_are_not_written_to():
    before = EVERY_VALUE.copy()
    normalize(EVERY_VALUE, "imagenet")
    np.testing.assert_array_equal(EVERY_VALUE, before)


def test_an_unknown_normalization_is_refused_naming_the_known_ones():
    with pytest.raises(ConfigError, match="unknown normalization '0-255'; known: none, 0-1, -1-1, imagenet"):
        normalize(EVERY_VALUE, "0-255")


def test_imagenet_is_refused_for_grayscale():
    with pytest.raises(ConfigError, match="needs RGB images, these have 1 channel"):
        normalize(EVERY_VALUE[:, :, :1], "imagenet")
