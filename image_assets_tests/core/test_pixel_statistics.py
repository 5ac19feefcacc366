"""What is measured of an image, against the same in plain arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFilter

from image_assets.core.pixel_statistics import WHITE, measure_pixels

SHAPES = st.tuples(st.integers(1, 30), st.integers(1, 30), st.sampled_from([1, 3]))


@given(hnp.arrays(np.uint8, SHAPES))
def test_sums_are_exact_and_the_rest_is_what_the_definitions_say(pixels):
    found = measure_pixels(pixels)
    colours = np.repeat(pixels, 3 // pixels.shape[2], axis=2).reshape(-1, 3).astype(np.int64)
    assert found.sums == tuple(colours.sum(axis=0))
    assert found.squares == tuple((colours**2).sum(axis=0))
    gray = np.asarray(Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).convert("L")).ravel()
    assert found.luma_mean == gray.sum() / gray.size
    for percent, level in ((5, found.luma_p05), (50, found.luma_p50), (95, found.luma_p95)):
        assert level == np.sort(gray)[math.ceil(gray.size * percent / 100) - 1]
    shares = np.unique(gray, return_counts=True)[1] / gray.size
    assert found.entropy_bits == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-9)
    red, green, blue = colours.T
    one, other = red - green, (red + green) / 2 - blue
    colourful = np.hypot(one.std(), other.std()) + 0.3 * np.hypot(one.mean(), other.mean())
    # Where there is next to no colour, double precision loses digits that the exact sums keep.
    assert found.colourfulness == pytest.approx(colourful, abs=1e-5)
    assert 0 <= found.blur <= 1
    assert 0 <= found.white_fraction <= 1


def blur_by_definition(gray):
    """Crete's blur along the rows: of nine pixels, with the edges carried on."""
    gray = gray.astype(float)
    padded = np.pad(gray, ((0, 0), (4, 5)), mode="edge")
    means = np.stack([padded[:, at : at + gray.shape[1] + 1] for at in range(9)]).mean(axis=0)
    edges = np.abs(np.diff(np.pad(gray, ((0, 0), (0, 1)), mode="edge"), axis=1))
    left = np.abs(np.diff(means, axis=1))
    return 1 - np.maximum(edges - left, 0).sum() / edges.sum()


def photograph(width=240, height=180, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)


def test_blur_is_that_of_the_paper_and_grows_with_every_blur():
    gray = np.asarray(photograph(200, 150).convert("L"))
    expected = max(blur_by_definition(gray), blur_by_definition(gray.T))
    assert measure_pixels(gray[:, :, None]).blur == pytest.approx(expected, abs=1e-12)
    blurs = [
        measure_pixels(np.asarray(photograph().filter(ImageFilter.GaussianBlur(sigma)))).blur for sigma in (0, 1, 2, 4)
    ]
    assert blurs == sorted(blurs)


@pytest.mark.parametrize("scale", [2, 2.5, 3])
def test_blur_means_the_same_whatever_the_size_of_an_output_above_224_px(scale):
    small = photograph(300, 224).filter(ImageFilter.GaussianBlur(2))
    large = photograph(round(300 * scale), round(224 * scale)).filter(ImageFilter.GaussianBlur(2 * scale))
    assert measure_pixels(np.asarray(large)).blur == pytest.approx(measure_pixels(np.asarray(small)).blur, abs=0.02)


def test_a_white_ground_is_not_overexposure():
    picture = np.asarray(photograph(100, 100)).clip(0, WHITE - 10)
    framed = np.full((200, 200, 3), 255, np.uint8)
    framed[50:150, 20:120] = picture
    framed[3, 3] = 0  # dust
    assert measure_pixels(framed).white_fraction == measure_pixels(picture).white_fraction == 0
    spread = picture.copy()
    spread[::2] = 255
    assert measure_pixels(spread).white_fraction == pytest.approx(0.5, abs=0.01)
    assert measure_pixels(np.full((9, 9, 3), 255, np.uint8)).white_fraction == 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 1), (500, 1, 3), (300, 2, 3)])
def test_images_of_any_shape_are_measured(shape):
    found = measure_pixels(np.full(shape, 7, np.uint8))
    assert (found.luma_p05, found.entropy_bits, found.colourfulness) == (7, 0.0, 0.0)
    assert (found.width_px, found.height_px) == (shape[1], shape[0])
