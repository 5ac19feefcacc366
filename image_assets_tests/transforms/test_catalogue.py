"""What each of the fixed transforms, the colour jitter and RandAugment does to pixels."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageOps

from image_assets.core.errors import DecodeError
from image_assets.core.randomness import keyed_generator
from image_assets.transforms import build_transform
from image_assets.transforms.adjustments import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    adjust_sharpness,
)
from image_assets.transforms.base import Pixels
from image_assets.transforms.chain import Renderer
from image_assets.transforms.colour_jitter import ColourJitter
from image_assets.transforms.rand_augment import OPERATIONS, RandAugment
from image_assets.transforms.tone_curves import equalize_tones, posterize, solarize, stretch_tones
from image_assets.transforms.warp import shear, shift
from image_assets_tests.transforms.pictures import file_of, opened, photo, quadrants, some_settings, upright

RED = (255, 0, 0)
PHOTO = photo(60, 40)
CHANNELS = pytest.mark.parametrize("channels", [1, 3])
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)


def applied(spec: str | dict[str, object], pixels: Pixels, background: tuple[int, ...] = RED) -> Pixels:
    return build_transform(spec).apply(pixels, keyed_generator(0, "a", "b", 0), background[: pixels.shape[2]])


@pytest.mark.parametrize(
    ("direction", "expected"), [("horizontal", quadrants()[:, ::-1]), ("vertical", quadrants()[::-1])]
)
def test_flip_mirrors_every_image(direction: str, expected: Pixels) -> None:
    np.testing.assert_array_equal(applied({"flip": {"direction": direction}}, quadrants()), expected)


@CHANNELS
@pytest.mark.parametrize(("angle_deg", "turns"), [(0, 0), (90, 1), (180, 2), (270, 3), (-90, 3), (360, 0), (-360, 0)])
def test_a_multiple_of_90_degrees_moves_pixels_and_changes_none(angle_deg: int, turns: int, channels: int) -> None:
    pixels = photo(60, 40, channels=channels)
    np.testing.assert_array_equal(applied({"rotate": {"angle_deg": angle_deg}}, pixels), np.rot90(pixels, turns))


def test_another_angle_keeps_the_size_turns_counter_clockwise_and_fills_corners() -> None:
    turned = applied(
        {"rotate": {"angle_deg": 45}}, np.pad(np.full((20, 20, 3), 200, np.uint8), ((0, 0), (0, 20), (0, 0)))
    )
    assert turned.shape == (20, 40, 3)
    assert tuple(turned[0, 0]) == RED
    # The bright left half has gone to the lower left: below the middle brighter than above it.
    assert turned[16, 16, 1] > turned[3, 16, 1]


def test_crop_by_fractions_cuts_the_share() -> None:
    part = applied({"crop": {"left": 0.5, "width": 0.5, "height": 0.5}}, quadrants(64, 48))
    np.testing.assert_array_equal(part, np.broadcast_to(np.uint8((0, 255, 0)), (24, 32, 3)))


def test_crop_by_pixels_cuts_the_box() -> None:
    part = applied({"crop": {"left": 3, "top": 5, "width": 20, "height": 10, "unit": "px"}}, PHOTO)
    np.testing.assert_array_equal(part, PHOTO[5:15, 3:23])


@pytest.mark.parametrize(
    ("left", "top"),
    [
        (50, 35),
        # The whole box lies beyond the image.
        (500, 0),
    ],
)
def test_crop_by_pixels_has_its_size_and_paints_what_the_image_does_not_reach(left: int, top: int) -> None:
    part = applied({"crop": {"left": left, "top": top, "width": 20, "height": 10, "unit": "px"}}, PHOTO)
    assert part.shape == (10, 20, 3)
    assert tuple(part[-1, -1]) == RED
    inside = PHOTO[top : top + 10, left : left + 20]
    np.testing.assert_array_equal(part[: inside.shape[0], : inside.shape[1]], inside)


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        ({"width_px": 30}, (20, 30)),
        ({"height_px": 80}, (80, 120)),
        ({"width_px": 7, "height_px": 90}, (90, 7)),
        # The ratio leaves less than half a pixel of the other side.
        ({"height_px": 1}, (1, 2)),
    ],
)
@CHANNELS
def test_resize_makes_the_size_asked_for(parameters: dict[str, int], shape: tuple[int, int], channels: int) -> None:
    resized = applied({"resize": parameters}, photo(60, 40, channels=channels))
    assert resized.shape == (*shape, channels)


def test_resize_is_pillows() -> None:
    expected = Image.fromarray(PHOTO).resize((31, 17), Image.Resampling.BICUBIC)
    resized = applied({"resize": {"width_px": 31, "height_px": 17, "filter": "bicubic"}}, PHOTO)
    np.testing.assert_array_equal(resized, np.asarray(expected))


def test_a_strip_that_would_fill_the_memory_is_a_bad_image() -> None:
    with pytest.raises(DecodeError, match=r"too_large: resize would make \d+ x 16384 of 2000 x 1"):
        applied({"resize": {"height_px": 16384}}, np.zeros((1, 2000, 1), np.uint8))


def test_boxes_in_pixels_are_counted_in_the_full_original() -> None:
    # Without the crop a JPEG this large is decoded at a fraction of its size for an output this small.
    raw = file_of(photo(1600, 1200), "JPEG", quality=95)
    crop = {"crop": {"left": 800, "top": 600, "width": 64, "height": 48, "unit": "px"}}
    image, output = {"width_px": 64, "height_px": 48}, {"format": "png"}
    settings = some_settings(image=image, output=output, transforms=[crop])
    rendered = opened(Renderer(settings).render(raw, "a").outputs[0].data)
    np.testing.assert_array_equal(rendered, upright(raw, settings)[600:648, 800:864])


@CHANNELS
def test_a_jitter_of_nothing_changes_nothing(channels: int) -> None:
    still = {"colour_jitter": {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}}
    pixels = photo(60, 40, channels=channels)
    np.testing.assert_array_equal(applied(still, pixels), pixels)


def test_jitter_makes_the_drawn_adjustments_in_the_drawn_order() -> None:
    jitter = ColourJitter(hue=0.3)
    expected = PHOTO
    for name, amount in jitter.draw(keyed_generator(0, "a", "b", 0)):
        adjust = {"brightness": adjust_brightness, "contrast": adjust_contrast, "saturation": adjust_saturation}
        expected = adjust.get(name, adjust_hue)(expected, amount)
    np.testing.assert_array_equal(jitter.apply(PHOTO, keyed_generator(0, "a", "b", 0), RED), expected)


def test_what_jitter_draws_for_one_parameter_does_not_depend_on_another() -> None:
    one, other = ColourJitter(), ColourJitter(brightness=0, saturation=2)
    drawn, again = (dict(each.draw(keyed_generator(0, "a", "b", 0))) for each in (one, other))
    assert (drawn["contrast"], drawn["hue"]) == (again["contrast"], again["hue"])
    assert list(drawn) == list(again)


def test_a_wide_jitter_never_draws_a_factor_below_nothing() -> None:
    drawn = [dict(ColourJitter(contrast=3).draw(keyed_generator(0, "a", "b", n)))["contrast"] for n in range(300)]
    assert 0 <= min(drawn) < 0.1
    assert 3.9 < max(drawn) < 4


@pytest.mark.parametrize("turns", [-0.5, -0.21, 0.0, 1 / 3, 0.5])
def test_hue_turns_as_the_standard_library_has_it(turns: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    turned = adjust_hue(pixels, turns)
    for colour, found in zip(pixels.reshape(-1, 3).tolist(), turned.reshape(-1, 3).tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
        expected = colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)
        assert all(abs(255 * one - other) <= 0.51 for one, other in zip(expected, found, strict=True))


def test_saturation_of_nothing_is_gray_and_of_one_the_image() -> None:
    np.testing.assert_array_equal(adjust_saturation(PHOTO, 0), applied("grayscale", PHOTO))
    np.testing.assert_array_equal(adjust_saturation(PHOTO, 1), PHOTO)


@CHANNELS
def test_sharpness_goes_from_smooth_to_more_than_sharp(channels: int) -> None:
    pixels = photo(60, 40, channels=channels)
    np.testing.assert_array_equal(adjust_sharpness(pixels, 1), pixels)
    steps = [np.abs(np.diff(adjust_sharpness(pixels, factor).astype(int), axis=1)).mean() for factor in (0, 1, 2)]
    assert steps[0] < steps[1] < steps[2]


def test_autocontrast_is_pillows_to_a_rounding() -> None:
    flat = (PHOTO // 3 + 60).astype(np.uint8)
    expected = np.asarray(ImageOps.autocontrast(Image.fromarray(flat))).astype(int)
    assert np.abs(stretch_tones(flat) - expected).max() <= 1


def test_equalized_tones_are_about_equally_frequent() -> None:
    dark = (photo(200, 200) // 4).astype(np.uint8)
    counts = np.histogram(equalize_tones(dark)[:, :, 0], bins=4, range=(0, 256))[0]
    assert counts.min() > 0.15 * 200 * 200


@pytest.mark.parametrize("change", [stretch_tones, equalize_tones])
def test_an_image_of_one_colour_has_no_tones_to_change(change: object) -> None:
    plain = np.full((5, 6, 3), 77, np.uint8)
    np.testing.assert_array_equal(change(plain), plain)  # type: ignore[operator]


def test_solarize_and_posterize_do_what_they_say() -> None:
    np.testing.assert_array_equal(solarize(RAMP, 256), RAMP)
    np.testing.assert_array_equal(solarize(RAMP, 0), 255 - RAMP)
    assert [solarize(RAMP, 128)[0, 5, 0], solarize(RAMP, 128)[15, 15, 0]] == [5, 0]
    np.testing.assert_array_equal(posterize(RAMP, 8), RAMP)
    np.testing.assert_array_equal(np.unique(posterize(RAMP, 1)), [0, 128])


def test_a_shift_moves_whole_pixels_and_a_shear_leaves_the_middle() -> None:
    moved = shift(PHOTO, (7, -3), RED)
    np.testing.assert_array_equal(moved[:-3, 7:], PHOTO[3:, :-7])
    assert (moved[:, :7] == RED).all()
    column = np.zeros((41, 41, 1), np.uint8)
    column[:, 20] = 255
    leaning = shear(column, (0.3, 0), (0,))[:, :, 0]
    assert [int(leaning[row].argmax()) for row in (0, 20, 40)] == [14, 20, 26]


@CHANNELS
@pytest.mark.parametrize("name", OPERATIONS)
def test_at_no_magnitude_only_the_tones_change(name: str, channels: int) -> None:
    pixels = (photo(60, 40, channels=channels) // 2).astype(np.uint8)
    changed = (OPERATIONS[name](pixels, 0.0, RED[:channels]) != pixels).any()
    assert changed == (name in {"autocontrast", "equalize"})


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"identity", "autocontrast", "equalize"}))
def test_a_greater_magnitude_changes_more(name: str) -> None:
    pixels = photo(200, 120)
    changes = [np.abs(OPERATIONS[name](pixels, strength, RED).astype(int) - pixels).mean() for strength in (0.3, 1)]
    assert 0 < changes[0] < changes[1]


@CHANNELS
@pytest.mark.parametrize("strength", [-1.0, 1.0])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(1, 1), (1500, 2), (2, 1500), (60, 40)])
def test_every_operation_keeps_the_shape(name: str, strength: float, channels: int, size: tuple[int, int]) -> None:
    pixels = photo(*size, channels=channels)
    before = pixels.copy()
    result = OPERATIONS[name](pixels, strength, RED[:channels])
    assert (result.dtype, result.shape) == (np.uint8, pixels.shape)
    np.testing.assert_array_equal(pixels, before)


def test_rand_augment_applies_what_it_draws_in_that_order() -> None:
    augment, expected = RandAugment(operations=5, magnitude=7), PHOTO
    drawn = augment.draw(keyed_generator(0, "a", "b", 0))
    for name, strength in drawn:
        assert abs(strength) == pytest.approx(0.7)
        expected = OPERATIONS[name](expected, strength, RED)
    assert len(drawn) == 5
    np.testing.assert_array_equal(augment.apply(PHOTO, keyed_generator(0, "a", "b", 0), RED), expected)
