"""What every encoder keeps to."""

import io

import numpy as np
import pytest
from PIL import Image

from image_assets.transforms.base import Pixels
from image_assets.transforms.encode import ENCODERS
from image_assets_tests.transforms.pictures import opened, photo

INPUTS = {
    "rgb": photo(61, 43),
    "gray": photo(61, 43, channels=1),
    "one pixel": photo(1, 1),
    "one gray pixel": photo(1, 1, channels=1),
    "not contiguous": photo(60, 40)[:, ::-1],
    "gray, not contiguous": photo(60, 40, channels=1)[::-1, ::2],
}


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("pixels", INPUTS.values(), ids=INPUTS.keys())
def test_others_can_read_what_is_written(name: str, pixels: Pixels) -> None:
    before = pixels.copy()
    data = ENCODERS[name].encode(pixels, 95)
    image = Image.open(io.BytesIO(data))
    image.load()
    assert (image.format or "").lower() == name
    assert image.mode == ("RGB" if pixels.shape[2] == 3 else "L")
    assert image.size == (pixels.shape[1], pixels.shape[0])
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("pixels", INPUTS.values(), ids=INPUTS.keys())
def test_the_same_pixels_give_the_same_bytes(name: str, pixels: Pixels) -> None:
    assert ENCODERS[name].encode(pixels, 90) == ENCODERS[name].encode(pixels.copy(order="C"), 90)


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_come_back(name: str, channels: int) -> None:
    pixels = photo(64, 48, channels=channels)
    back = opened(ENCODERS[name].encode(pixels, 95)).reshape(pixels.shape).astype(int)
    error = np.abs(back - pixels).mean()
    assert error < 6 if ENCODERS[name].lossy else error == 0


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_quality_matters_exactly_when_it_is_lossy(name: str) -> None:
    low, high = (ENCODERS[name].encode(photo(64, 48), quality) for quality in (50, 95))
    assert (low != high) == ENCODERS[name].lossy


def test_jpeg_colour_is_stored_at_half_resolution() -> None:
    image = Image.open(io.BytesIO(ENCODERS["jpeg"].encode(photo(64, 48), 90)))
    assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)]  # type: ignore[attr-defined]
