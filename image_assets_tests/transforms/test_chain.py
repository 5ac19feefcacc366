"""The renderer: its recipe holds what matters and nothing else; its outputs depend on the key and on nothing else."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from image_assets.core.errors import ConfigError, DecodeError
from image_assets.settings import PRESETS
from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets.transforms.chain import Renderer
from image_assets_tests.transforms.pictures import exif_block, file_of, opened, photo, quadrants, some_settings

PHOTO = file_of(photo(), "JPEG", quality=95)
SHA256 = hashlib.sha256(PHOTO).hexdigest()
AUGMENTED = {"variants": 3, "transforms": ["random_crop", "random_flip"]}


def renderer(**overrides: Any) -> Renderer:
    return Renderer(some_settings(**overrides))


def recipe_text(overrides: dict[str, Any]) -> str:
    return json.dumps(renderer(**overrides).recipe(), sort_keys=True)


BASE: dict[str, Any] = {}
RANDOM = {"transforms": ["random_flip"]}
VARIANTS = {"augment": AUGMENTED}
PNG = {"output": {"format": "png"}}


@pytest.mark.parametrize(
    ("under", "over"),
    [
        (BASE, {"image": {"width_px": 100}}),
        (BASE, {"image": {"height_px": 100}}),
        (BASE, {"image": {"fit": "contain"}}),
        (BASE, {"image": {"mode": "L"}}),
        (BASE, {"image": {"background": [0, 0, 0]}}),
        (BASE, {"image": {"resizer": "pillow-lanczos"}}),
        (BASE, PNG),
        (BASE, {"output": {"quality": 80}}),
        (BASE, {"transforms": ["sharpen"]}),
        (BASE, {"augment": {"variants": 1}}),
        (BASE, {"keep_gps": True}),
        (BASE, {"limits": {"max_pixels": 1000}}),
        (BASE, {"limits": {"max_file_bytes": 1000}}),
        (RANDOM, {"seed": 1}),
        (RANDOM, {"transforms": [{"random_flip": {"p": 0.4}}]}),
        ({"transforms": ["sharpen", "grayscale"]}, {"transforms": ["grayscale", "sharpen"]}),
        (VARIANTS, {"augment": {**AUGMENTED, "variants": 2}}),
        (VARIANTS, {"augment": {"variants": 3, "transforms": ["random_flip"]}}),
        (VARIANTS, {"seed": 1}),
    ],
    ids=str,
)
def test_a_setting_that_changes_outputs_changes_the_recipe(under: dict[str, Any], over: dict[str, Any]) -> None:
    assert recipe_text(under) != recipe_text({**under, **over})


@pytest.mark.parametrize(
    ("under", "over"),
    [
        (BASE, {"seed": 1}),
        (BASE, {"augment": {"transforms": ["random_flip"]}}),
        (BASE, {"name": "other"}),
        (BASE, {"store": "elsewhere"}),
        (BASE, {"source": {"path": "elsewhere", "extensions": ["png"]}}),
        (BASE, {"labels": {"kind": "none"}}),
        (BASE, {"num_shards": 64}),
        (BASE, {"workers": 7}),
        (BASE, {"limits": {"max_decode_s": 5}}),
        (BASE, {"features": {"extractor": "none"}}),
        (BASE, {"checks": {"failed_fraction": {"warn": 0.5}}}),
        (BASE, {"exports": []}),
        (BASE, {"trigger": {"interval_s": 60}}),
        ({"transforms": ["sharpen"]}, {"seed": 1}),
        ({"transforms": ["sharpen"]}, {"transforms": [{"sharpen": {"percent": 100}}]}),
        ({"augment": {"variants": 1, "transforms": ["grayscale"]}}, {"seed": 1}),
        (PNG, {"output": {"format": "png", "quality": 50}}),
    ],
    ids=str,
)
def test_a_setting_that_changes_no_output_changes_no_recipe(under: dict[str, Any], over: dict[str, Any]) -> None:
    assert recipe_text(under) == recipe_text({**under, **over})


def test_the_recipe_names_the_versions_of_what_made_the_pixels() -> None:
    fast, slow = renderer().recipe(), renderer(image={"resizer": "pillow-lanczos"}).recipe()
    assert set(fast["packages"]) == {"cykooz-resizer", "pillow", "simplejpeg"}
    assert set(slow["packages"]) == {"pillow", "simplejpeg"}
    assert {"decoder", "chain"} <= set(fast)
    assert renderer(transforms=["sharpen"]).recipe()["transforms"][0]["version"] == 1


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_renders(preset: str) -> None:
    settings = some_settings(preset=preset) if preset in PRESETS else None
    assert settings is not None
    output = Renderer(settings).render(PHOTO, SHA256).outputs[0]
    assert (output.width_px, output.height_px) == (settings.image.width_px, settings.image.height_px)
    assert opened(output.data).ndim == (2 if settings.image.mode == "L" else 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize("fit", ["stretch", "cover", "contain"])
def test_outputs_are_what_they_say(mode: str, kind: str, fit: str) -> None:
    image = {"width_px": 50, "height_px": 40, "mode": mode, "fit": fit}
    rendered = renderer(image=image, output={"format": kind}, augment={"variants": 2}).render(PHOTO, SHA256)
    assert [output.variant for output in rendered.outputs] == [0, 1, 2]
    for output in rendered.outputs:
        assert output.sha256 == hashlib.sha256(output.data).hexdigest()
        assert (output.width_px, output.height_px, output.format) == (50, 40, kind)
        assert opened(output.data).shape == ((40, 50, 3) if mode == "RGB" else (40, 50))


def test_the_same_key_gives_the_same_bytes_whatever_was_rendered_before() -> None:
    fresh, used = renderer(augment=AUGMENTED), renderer(augment=AUGMENTED)
    other = file_of(photo(seed=1), "PNG")
    used.render(other, hashlib.sha256(other).hexdigest())
    assert fresh.render(PHOTO, SHA256) == used.render(PHOTO, SHA256)


@pytest.mark.parametrize("transforms", [["random_crop"], ["random_flip", "random_brightness"]], ids=str)
def test_variants_seeds_and_images_draw_apart(transforms: list[str]) -> None:
    def seen(seed: int, sha256: str) -> list[str]:
        made = renderer(seed=seed, augment={"variants": 4, "transforms": transforms})
        return [output.sha256 for output in made.render(PHOTO, sha256).outputs[1:]]

    everything = [*seen(0, "aa"), *seen(1, "aa"), *seen(0, "bb")]
    assert len(set(everything)) > 8


def test_augmentation_leaves_the_plain_variant_alone() -> None:
    plain = renderer().render(PHOTO, SHA256).outputs[0]
    assert renderer(augment=AUGMENTED).render(PHOTO, SHA256).outputs[0] == plain


def test_more_variants_keep_the_ones_there_were() -> None:
    few, many = (renderer(augment={**AUGMENTED, "variants": count}).render(PHOTO, SHA256).outputs for count in (2, 5))
    assert many[:3] == few


def test_transforms_of_all_variants_come_before_those_of_augmentation() -> None:
    settings = {"transforms": ["grayscale"], "augment": {"variants": 2, "transforms": ["random_flip"]}}
    for output in renderer(output={"format": "png"}, **settings).render(PHOTO, SHA256).outputs:
        pixels = opened(output.data)
        assert (pixels[:, :, 0] == pixels[:, :, 1]).all()


def test_two_entries_of_one_name_draw_apart() -> None:
    once = renderer(transforms=[{"random_rotation": {"max_deg": 90}}], output={"format": "png"})
    twice = renderer(transforms=[{"random_rotation": {"max_deg": 45}}] * 2, output={"format": "png"})
    # Were the two draws one, their angles would add up to exactly that of twice the range.
    apart = [
        np.abs(
            opened(once.render(PHOTO, key).outputs[0].data).astype(int)
            - opened(twice.render(PHOTO, key).outputs[0].data)
        ).mean()
        for key in ("a", "b", "c", "d")
    ]
    assert max(apart) > 20


def test_an_orientation_is_applied_with_and_without_a_crop_before_it() -> None:
    raw = file_of(np.rot90(quadrants(), 1), "PNG", exif=exif_block({0x0112: 6}))
    for transforms in ([], [{"center_crop": {"keep": 0.9}}]):
        output = renderer(transforms=transforms, image={"fit": "stretch"}, output={"format": "png"}).render(raw, "a")
        pixels = opened(output.outputs[0].data)
        assert [tuple(pixels[y, x]) for y in (20, 200) for x in (20, 200)] == [
            (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255),
        ]  # fmt: skip


def test_a_crop_is_cut_from_the_original_and_not_from_the_output() -> None:
    fine = photo(1200, 1200)
    fine[:, ::2] //= 2
    made = renderer(
        transforms=[{"center_crop": {"keep": 0.1}}], image={"width_px": 120, "height_px": 120}, output={"format": "png"}
    )
    pixels = opened(made.render(file_of(fine, compress_level=1), "a").outputs[0].data)
    np.testing.assert_array_equal(pixels, fine[540:660, 540:660])


def test_a_large_jpeg_looks_the_same_as_decoded_in_full() -> None:
    raw = file_of(np.tile(photo(), (8, 8, 1)), "JPEG", quality=92)
    reduced = renderer(output={"format": "png"})
    # A transform that does not say what it keeps makes the decoder keep everything.
    full = renderer(output={"format": "png"}, transforms=[f"{__name__}:Untouched"])
    one, other = (opened(each.render(raw, "a").outputs[0].data).astype(float) for each in (reduced, full))
    assert (one != other).any()
    assert 10 * np.log10(255**2 / np.mean((one - other) ** 2)) > 45


class Untouched(Transform):
    """Does nothing."""

    version = 1
    stage = "before_resize"
    random = False

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        return pixels


class Halved(Transform):
    """Returns an image of another size, as it may only before the resize."""

    version = 1
    stage = "after_resize"
    random = False

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        return pixels[::2]


class Floats(Halved):
    """Returns something that is no image."""

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        return pixels / 255  # type: ignore[return-value]


@pytest.mark.parametrize(("name", "words"), [("Halved", "made shape"), ("Floats", "float64")])
def test_ones_own_transform_that_breaks_the_rules_is_an_error_and_no_bad_image(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        renderer(transforms=[f"{__name__}:{name}"]).render(PHOTO, SHA256)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"image": {"resizer": "nearest"}}, ["nearest", "fast-lanczos3"]),
        ({"transforms": ["blur"]}, ["transforms:", "blur", "sharpen"]),
        # Checked even while no variant is asked for.
        ({"augment": {"transforms": ["blur"]}}, ["augment.transforms:", "blur"]),
        ({"transforms": ["sharpen", "random_crop"]}, ["random_crop", "list random_crop first"]),
    ],
)
def test_wrong_settings_are_refused_before_the_first_image(overrides: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        renderer(**overrides)
    assert all(word in str(caught.value) for word in words)


def test_a_bad_image_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="not_an_image"):
        renderer().render(b"no image at all", "a")


def test_neither_gps_nor_any_other_exif_is_left_in_an_output() -> None:
    gps = {1: "N", 2: (48.0, 8.0, 14.0), 3: "E", 4: (11.0, 34.0, 31.0)}
    raw = file_of(photo(), "JPEG", exif=exif_block({0x010F: "Secret Camera"}, gps))
    for kind in ("jpeg", "png"):
        rendered = renderer(output={"format": kind}, keep_gps=True).render(raw, "a")
        assert b"Exif" not in rendered.outputs[0].data
        assert b"Secret" not in rendered.outputs[0].data
        assert rendered.facts.gps_latitude == pytest.approx(48.137, abs=0.001)
        assert renderer(output={"format": kind}).render(raw, "a").facts.gps_latitude is None
