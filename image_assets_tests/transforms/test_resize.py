"""What every resizer and every fit rule keeps to."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from image_assets.core.errors import ConfigError
from image_assets.settings.images import ImageSettings
from image_assets.transforms.base import Pixels
from image_assets.transforms.fit import background_for, fit_pixels
from image_assets.transforms.orientation import orient
from image_assets.transforms.resize import RESIZERS, Box, build_resizer
from image_assets_tests.transforms.pictures import photo, quadrants

NAMES = sorted(RESIZERS)


def whole(pixels: Pixels) -> Box:
    return Box(0, 0, pixels.shape[1], pixels.shape[0])


def psnr_db(one: Pixels, other: Pixels) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else 99.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size_px", [(1, 1), (224, 224), (7, 300), (333, 5)])
def test_a_resizer_returns_exactly_the_size_asked_for(name: str, channels: int, size_px: tuple[int, int]) -> None:
    pixels = photo(120, 90, channels=channels)
    before = pixels.copy()
    resized = build_resizer(name).resize(pixels, whole(pixels), size_px)
    assert resized.shape == (size_px[1], size_px[0], channels)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_one_pixel_becomes_a_plain_image(name: str, channels: int) -> None:
    pixels = np.full((1, 1, channels), 77, np.uint8)
    assert (build_resizer(name).resize(pixels, whole(pixels), (9, 4)) == 77).all()


@pytest.mark.parametrize("name", NAMES)
def test_memory_layout_changes_nothing(name: str) -> None:
    view = photo(200, 150)[::-1, ::2].transpose(1, 0, 2)
    straight, copied = (
        build_resizer(name).resize(each, whole(view), (32, 32)) for each in (view, view.copy(order="C"))
    )
    np.testing.assert_array_equal(straight, copied)


@pytest.mark.parametrize("name", NAMES)
def test_a_resizer_gives_the_same_each_time(name: str) -> None:
    resizer, pixels = build_resizer(name), photo(200, 150)
    first = resizer.resize(pixels, whole(pixels), (64, 64)).copy()
    resizer.resize(photo(90, 300, seed=1), Box(3.5, 1.25, 60, 90), (31, 17))
    np.testing.assert_array_equal(first, resizer.resize(pixels, whole(pixels), (64, 64)))


@pytest.mark.parametrize("name", NAMES)
def test_the_box_is_cut_out_to_fractions_of_a_pixel(name: str) -> None:
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[np.newaxis, :, np.newaxis], 60, axis=0)
    resized = build_resizer(name).resize(ramp, Box(30.5, 10, 60, 40), (60, 40))
    # Shifted by half a pixel, the ramp of slope 2 is one step higher.
    np.testing.assert_allclose(resized[20, 5:55, 0], ramp[20, 35:85, 0] + 1, atol=1)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("channels", [1, 3])
def test_the_fast_resizer_agrees_with_pillow(seed: int, channels: int) -> None:
    pixels = photo(500 - 10 * seed, 300 + 20 * seed, channels=channels, seed=seed)
    box = Box(20.25, 10.5, 300, 280)
    for cut in (whole(pixels), box):
        one, other = (build_resizer(name).resize(pixels, cut, (224, 224)) for name in NAMES)
        assert psnr_db(one, other) >= 45


def test_a_large_image_gives_the_pixels_of_one_resized_at_once() -> None:
    # 1400 x 1100 x 3 goes through in columns, its part with the same surroundings at once.
    large = photo(1400, 1100)
    part = large[:, 500:900]
    resizer = build_resizer("fast-lanczos3")
    from_large = resizer.resize(large, Box(600, 50, 200, 1000), (100, 500))
    from_part = resizer.resize(part, Box(100, 50, 200, 1000), (100, 500))
    np.testing.assert_array_equal(from_large, from_part)


def test_an_unknown_resizer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown resizer 'nearest'; known: fast-lanczos3, pillow-lanczos"):
        build_resizer("nearest")


def image_settings(fit: str, width_px: int = 60, height_px: int = 60, **more: Any) -> ImageSettings:
    return ImageSettings.model_validate({"fit": fit, "width_px": width_px, "height_px": height_px, **more})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fit", ["stretch", "cover", "contain"])
@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("size", [(1, 1), (64, 48), (48, 64), (1, 500), (700, 1), (60, 30), (30, 60)])
def test_every_fit_gives_exactly_the_output_size(name: str, fit: str, turn: int, size: tuple[int, int]) -> None:
    fitted = fit_pixels(photo(*size), turn, image_settings(fit, 60, 30), build_resizer(name))
    assert fitted.shape == (30, 60, 3)


@pytest.mark.parametrize("fit", ["stretch", "cover", "contain"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_turning_after_the_resize_is_turning_before_it(fit: str, turn: int) -> None:
    pixels, image = photo(200, 150), image_settings(fit, 50, 30)
    for name in NAMES:
        after = fit_pixels(pixels, turn, image, build_resizer(name))
        before = fit_pixels(orient(pixels, turn), 1, image, build_resizer(name))
        assert psnr_db(after, before) > 45


def test_stretch_shows_the_whole_image() -> None:
    fitted = fit_pixels(quadrants(64, 20), 1, image_settings("stretch"), build_resizer("fast-lanczos3"))
    assert [tuple(fitted[y, x]) for y in (5, 55) for x in (5, 55)] == [
        (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255),
    ]  # fmt: skip


def test_cover_shows_the_middle_and_no_background() -> None:
    wide = np.zeros((20, 100, 3), np.uint8)
    wide[:, 40:60] = 200
    fitted = fit_pixels(wide, 1, image_settings("cover", 20, 20), build_resizer("fast-lanczos3"))
    assert (fitted == 200).all()


def test_contain_shows_everything_in_the_middle_of_the_background() -> None:
    image = image_settings("contain", 60, 60, background=[1, 2, 3])
    for turn in (1, 6):  # a wide image, and the same one standing
        fitted = fit_pixels(np.full((20, 40, 3), 200, np.uint8), turn, image, build_resizer("fast-lanczos3"))
        wide = fitted if turn == 1 else fitted.transpose(1, 0, 2)
        assert (wide[:15] == (1, 2, 3)).all()
        assert (wide[15:45] == 200).all()
        assert (wide[45:] == (1, 2, 3)).all()


def test_the_right_size_is_left_as_it_is() -> None:
    pixels = photo(60, 60)
    np.testing.assert_array_equal(
        fit_pixels(pixels, 1, image_settings("cover"), build_resizer("fast-lanczos3")), pixels
    )


def test_the_background_of_gray_images_is_its_luma() -> None:
    assert background_for(3, (10, 20, 30)) == (10, 20, 30)
    assert background_for(1, (255, 255, 255)) == (255,)
    assert background_for(1, (255, 0, 0)) == (76,)


def test_of_a_very_wide_image_only_what_the_box_shows_is_resized():
    # Upscaling all of it would take 350 MB.
    pixels = np.random.default_rng(0).integers(0, 256, (12, 524_304, 3), np.uint8)
    box = Box(262_146, 0, 12, 12)
    tracemalloc.start()
    fast = build_resizer("fast-lanczos3").resize(pixels, box, (224, 224))
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 5_000_000
    # A narrow piece around the box is small enough to be resized in one go.
    reference = build_resizer("fast-lanczos3").resize(pixels[:, 262_000:262_300], Box(146, 0, 12, 12), (224, 224))
    np.testing.assert_array_equal(fast, reference)
