"""What every transform keeps to, and what each one does."""

import io

import numpy as np
import pytest
from PIL import Image

from image_assets.core.errors import ConfigError
from image_assets.core.randomness import keyed_generator
from image_assets.transforms import TRANSFORMS, build_transform
from image_assets.transforms.base import Pixels, Transform
from image_assets.transforms.random_crop import RandomCrop
from image_assets.transforms.steps import apply_step, list_steps
from image_assets_tests.transforms.pictures import photo, quadrants

WHITE = (255, 255, 255)
NAMES = sorted(TRANSFORMS)
# What those that do nothing without a parameter are tried with; the others are tried as they come.
PARAMETERS = {
    "crop": {"left": 0.25, "top": 0.1, "width": 0.5, "height": 0.6},
    "resize": {"width_px": 48},
    "rotate": {"angle_deg": 20},
}
INPUTS = {
    "rgb": photo(60, 40),
    "gray": photo(60, 40, channels=1),
    "one pixel": photo(1, 1),
    "one gray pixel": photo(1, 1, channels=1),
    "one row": photo(50, 1),
    "one gray column": photo(1, 50, channels=1),
    "very wide": photo(1500, 2),
    "very tall and gray": photo(2, 1500, channels=1),
    # A view: transforms are given these after an orientation or a crop.
    "not contiguous": photo(60, 40)[::-1, ::2].transpose(1, 0, 2),
}


def built(name: str) -> Transform:
    return build_transform({name: PARAMETERS.get(name)})


def apply(transform: Transform, pixels: Pixels, variant: int = 0) -> Pixels:
    return transform.apply(pixels, keyed_generator(0, "ab", "operation", variant), WHITE[: pixels.shape[2]])


def apply_in_chain(name: str, pixels: Pixels) -> Pixels:
    (step,) = list_steps([{name: PARAMETERS.get(name)}], "transforms")
    return apply_step(step, pixels, keyed_generator(0, "ab", "operation", 0), WHITE[: pixels.shape[2]])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pixels", INPUTS.values(), ids=INPUTS.keys())
def test_a_transform_returns_an_image_and_leaves_its_input_alone(name: str, pixels: Pixels) -> None:
    transform, before = built(name), pixels.copy()
    result = apply(transform, pixels)
    assert result.dtype == np.uint8
    assert result.shape[2] == pixels.shape[2]
    assert result.size > 0
    assert transform.stage == "before_resize" or result.shape == pixels.shape
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_read_only_input_will_do(name: str) -> None:
    pixels = photo(30, 20)
    pixels.flags.writeable = False
    assert apply(built(name), pixels).size > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pixels", INPUTS.values(), ids=INPUTS.keys())
def test_the_same_key_gives_the_same_pixels(name: str, pixels: Pixels) -> None:
    first, second = (apply(built(name), pixels, variant=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_memory_layout_changes_nothing(name: str) -> None:
    view = INPUTS["not contiguous"]
    np.testing.assert_array_equal(apply(built(name), view), apply(built(name), view.copy(order="C")))


@pytest.mark.parametrize("name", NAMES)
def test_other_keys_give_other_pixels_exactly_when_it_says_random(name: str) -> None:
    seen = {apply(built(name), photo(60, 40), variant).tobytes() for variant in range(16)}
    assert (len(seen) > 1) == built(name).random


@pytest.mark.parametrize("name", NAMES)
def test_a_transform_keeps_as_much_of_a_side_as_it_says(name: str) -> None:
    transform, pixels = built(name), photo(400, 300)
    # One that keeps 0 does not know, and the decoder then leaves nothing out.
    if transform.stage == "before_resize" and transform.kept_fraction() > 0:
        shapes = [apply(transform, pixels, variant).shape for variant in range(300)]
        least = min(min(height / 300, width / 400) for height, width, _ in shapes)
        least = 1.0 if name == "resize" else least  # It keeps all of the sides, at another size.
        assert transform.kept_fraction() - 0.005 <= least < transform.kept_fraction() + 0.05


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pixels", INPUTS.values(), ids=INPUTS.keys())
def test_the_chain_hands_on_contiguous_pixels_after_the_resize(name: str, pixels: Pixels) -> None:
    result = apply_in_chain(name, pixels)
    assert result.flags.c_contiguous or built(name).stage == "before_resize"
    np.testing.assert_array_equal(result, apply_in_chain(name, pixels))


@pytest.mark.parametrize("name", NAMES)
def test_numbers_have_bounds_and_names_are_one_of_a_list(name: str) -> None:
    for parameter in TRANSFORMS[name].model_json_schema()["properties"].values():
        for kind in parameter.get("anyOf", [parameter]):
            if kind.get("type") in {"number", "integer"}:
                assert "minimum" in kind or "exclusiveMinimum" in kind
                assert "maximum" in kind
            elif kind.get("type") == "string":
                assert "enum" in kind


@pytest.mark.parametrize("name", NAMES)
def test_a_transform_says_when_it_runs_and_whether_it_draws(name: str) -> None:
    assert isinstance(TRANSFORMS[name].random, bool)
    assert TRANSFORMS[name].stage in {"before_resize", "after_resize"}
    assert TRANSFORMS[name].__doc__


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_described(name: str) -> None:
    assert all(field.description for field in TRANSFORMS[name].model_fields.values())
    assert TRANSFORMS[name].version >= 1


def test_random_crop_keeps_to_area_and_ratio() -> None:
    crop, pixels = RandomCrop(scale=(0.3, 0.5), ratio=(0.5, 2.0)), photo(400, 300)
    for variant in range(100):
        height, width, _ = apply(crop, pixels, variant).shape
        assert 0.29 < width * height / 120_000 < 0.51
        assert 0.49 < (width / 400) / (height / 300) < 2.02


def test_random_crop_reaches_every_edge() -> None:
    rows, columns = np.indices((30, 40))
    pixels = np.dstack([rows, columns, rows]).astype(np.uint8)
    quarter = RandomCrop(scale=(0.25, 0.25), ratio=(1, 1))
    parts = [apply(quarter, pixels, variant) for variant in range(200)]
    assert min(part[:, :, 0].min() for part in parts) == min(part[:, :, 1].min() for part in parts) == 0
    assert max(part[:, :, 0].max() for part in parts) == 29
    assert max(part[:, :, 1].max() for part in parts) == 39


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("horizontal", quadrants()[:, ::-1]),
        ("vertical", quadrants()[::-1]),
        ("both", quadrants()[::-1, ::-1]),
    ],
)
def test_a_certain_flip_mirrors(direction: str, expected: Pixels) -> None:
    flip = build_transform({"random_flip": {"p": 1, "direction": direction}})
    np.testing.assert_array_equal(apply(flip, quadrants()), expected)


def test_an_impossible_flip_does_nothing() -> None:
    np.testing.assert_array_equal(apply(build_transform({"random_flip": {"p": 0}}), quadrants()), quadrants())


def test_rotation_fills_the_corners_with_the_background() -> None:
    turned = build_transform({"random_rotation": {"max_deg": 45}}).apply(
        np.zeros((40, 40, 3), np.uint8), keyed_generator(0, "ab", "operation", 0), (10, 20, 30)
    )
    assert tuple(turned[0, 0]) == (10, 20, 30)
    assert tuple(turned[20, 20]) == (0, 0, 0)


def test_brightness_scales_and_clips() -> None:
    brightness = build_transform({"random_brightness": {"max_change": 0.5}})
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    factors = set()
    for variant in range(20):
        factor = int(apply(brightness, ramp, variant)[6, 4, 0]) / 100
        assert 0.5 <= factor <= 1.5
        np.testing.assert_allclose(apply(brightness, ramp, variant), np.clip(ramp * factor, 0, 255), atol=2)
        factors.add(factor)
    assert len(factors) > 10


def test_contrast_keeps_the_mean_and_changes_the_spread() -> None:
    pixels = (photo(60, 40) // 2 + 64).astype(np.uint8)
    changed = [apply(build_transform({"random_contrast": {"max_change": 0.5}}), pixels, n) for n in range(10)]
    assert all(abs(float(each.mean()) - float(pixels.mean())) < 6 for each in changed)
    assert min(each.std() for each in changed) < pixels.std() < max(each.std() for each in changed)


def test_grayscale_is_pillows_luma_in_every_channel() -> None:
    pixels = photo(60, 40)
    gray = apply(build_transform("grayscale"), pixels)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    assert all((gray[:, :, channel] == expected).all() for channel in range(3))


def test_sharpen_steepens_an_edge() -> None:
    edge = np.full((20, 20, 3), 80, np.uint8)
    edge[:, 10:] = 160
    sharp = apply(build_transform("sharpen"), edge)
    assert int(sharp[10, 10, 0]) - int(sharp[10, 9, 0]) > 80
    assert int(sharp[10, 0, 0]) == 80


def test_center_crop_keeps_the_middle() -> None:
    part = apply(build_transform({"center_crop": {"keep": 0.5}}), quadrants(64, 48))
    np.testing.assert_array_equal(part, quadrants(32, 24))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("blur", ["blur", "known", "random_crop"]),
        ({"random_crop": {"scala": [0.5, 1]}}, ["random_crop", "scala", "scale", "ratio"]),
        ({"random_crop": {"scale": [0.9, 0.5]}}, ["scale", "least <= greatest"]),
        ({"random_crop": {"scale": [0, 0.5]}}, ["0 < least"]),
        ({"random_crop": {"ratio": [2, 3]}}, ["ratio", "least <= 1 <= greatest"]),
        ({"random_flip": {"direction": "left"}}, ["direction", "'left'"]),
        ({"random_flip": {"p": 1.5}}, ["random_flip", "1.5"]),
        ({"grayscale": {"amount": 1}}, ["grayscale", "amount", "none"]),
        ({"grayscale": None, "sharpen": None}, ["name: {parameter: value}"]),
        ({}, ["name: {parameter: value}"]),
        ({"colour_jitter": {"hue": 0.6}}, ["hue", "0.5"]),
        ({"rand_augment": {"magnitude": 11}}, ["magnitude", "10"]),
        ({"rand_augment": {"operations": 0}}, ["operations", "1"]),
        ({"flip": {"direction": "both"}}, ["direction", "'both'"]),
        ("rotate", ["rotate", "angle_deg"]),
        ("resize", ["give width_px, height_px or both"]),
        ({"resize": {"width_px": 10, "filter": "cubic"}}, ["filter", "bicubic"]),
        ({"crop": {"width": 1}}, ["crop", "height"]),
        ({"crop": {"left": 0.5, "width": 0.6, "height": 1}}, ["at most 1 in fractions", "unit: px"]),
        ({"crop": {"width": 10.5, "height": 1, "unit": "px"}}, ["whole numbers", "unit: fraction"]),
    ],
)
def test_a_wrong_entry_is_refused_with_what_would_do(
    spec: str | dict[str, dict[str, object] | None], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_transform(spec)
    assert all(word in str(caught.value) for word in words)


def test_a_name_alone_and_a_name_without_parameters_are_the_same() -> None:
    assert build_transform("sharpen") == build_transform({"sharpen": None}) == build_transform({"sharpen": {}})


def test_ones_own_transform_is_named_by_its_import_path() -> None:
    own = build_transform({"image_assets.transforms.sharpen:Sharpen": {"percent": 50}})
    assert own == build_transform({"sharpen": {"percent": 50}})


def test_pillow_reads_what_transforms_return() -> None:
    for name in NAMES:
        result = apply(built(name), photo(30, 20))
        file = io.BytesIO()
        Image.fromarray(result.squeeze()).save(file, format="PNG")
        assert np.array_equal(np.asarray(Image.open(file)), result.squeeze())
