"""Boxes, polygons and masks follow the pixels: marks drawn into originals are found again in real outputs."""

import io
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from image_assets.core.errors import ConfigError
from image_assets.core.geometry import Affine, Box, Point, Polygon, translation
from image_assets.core.masks import Mask, mask_from_bits
from image_assets.core.placement import Move, Placement
from image_assets.core.randomness import keyed_generator
from image_assets.settings import Settings
from image_assets.transforms import TRANSFORMS
from image_assets.transforms.base import Transform
from image_assets.transforms.chain import Renderer
from image_assets.transforms.flip import Flip
from image_assets.transforms.orientation import orient, upright_to_stored
from image_assets.transforms.placing import placement
from image_assets.transforms.rand_augment import ORIGINS, RandAugment
from image_assets.transforms.resize import build_resizer
from image_assets_tests.transforms.pictures import file_of, opened, some_settings

# Each with parameters that move pixels as they can be moved; photometric ones as they come.
MOVING: dict[str, list[dict[str, Any]]] = {
    "center_crop": [{"keep": 0.83}],
    "crop": [
        {"left": 0.1, "top": 0.05, "width": 0.85, "height": 0.9},
        {"left": 11, "top": 7, "width": 260, "height": 150, "unit": "px"},
        # Larger than the image.
        {"left": 3, "top": 2, "width": 400, "height": 420, "unit": "px"},
    ],
    "flip": [{"direction": "horizontal"}, {"direction": "vertical"}],
    "random_crop": [{"scale": [0.7, 0.95]}],
    "random_flip": [{"p": 0.6, "direction": "both"}],
    "random_rotation": [{"max_deg": 25}],
    "resize": [{"width_px": 150}, {"width_px": 90, "height_px": 170}],
    "rotate": [{"angle_deg": angle} for angle in (90, -90, 180, 0, 23)],
}
CASES = [({name: case}, fit) for name in MOVING for case in MOVING[name] for fit in ("stretch", "cover", "contain")]
# Redness is 0 in the image and in the white around it, so that the middle of what is red is that of the mark.
GRAY, RED = (128, 128, 128), (240, 20, 20)


def marked(size_px: tuple[int, int], mark: Box, orientation: int = 1, kind: str = "PNG") -> bytes:
    """Return the file of an upright image with a red box, stored so that the orientation makes it upright."""
    upright = np.empty((size_px[1], size_px[0], 3), np.uint8)
    upright[:] = GRAY
    upright[int(mark.top) : int(mark.bottom), int(mark.left) : int(mark.right)] = RED
    # Orientations are their own way back, but for the quarter turns, which are each other's.
    stored = orient(upright, {6: 8, 8: 6}.get(orientation, orientation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    return file_of(np.ascontiguousarray(stored), kind, exif=exif, **options)


def middle_of_red(pixels: NDArray[np.uint8]) -> Point:
    """Return the centre of mass of what is red, in the output's continuous coordinates."""
    weight = pixels[:, :, 0].astype(float) - pixels[:, :, 2]
    rows, columns = np.indices(weight.shape) + 0.5
    return float((columns * weight).sum() / weight.sum()), float((rows * weight).sum() / weight.sum())


def rendered(raw: bytes, some: Settings, variant: int = 0) -> tuple[NDArray[np.uint8], Placement]:
    made = Renderer(some).render(raw, "ab" * 32)
    return opened(made.outputs[variant].data), placement(some, made.facts, "ab" * 32, variant)


def assert_follows(pixels: NDArray[np.uint8], placed: Placement, mark: Box, *, within_px: float = 1.0) -> None:
    """The middle of the mark is where the placement puts it, and the way back ends in the middle of the mark."""
    assert (pixels.shape[1], pixels.shape[0]) == placed.output_px
    polygon = placed.place(Polygon(mark.corners))
    assert polygon is not None
    assert isinstance(polygon[0], Polygon)
    if polygon[1] < 0.98:
        return  # Cut off: its middle is no longer that of what is seen.
    found = middle_of_red(pixels)
    middle = ((mark.left + mark.right) / 2, (mark.top + mark.bottom) / 2)
    ((x, y),) = placed.from_original.points([middle])
    assert abs(found[0] - x) < within_px
    assert abs(found[1] - y) < within_px
    # In the original's pixels a pixel of the output is as large as the resize made it.
    ((back_x, back_y),) = placed.to_original.points([found])
    scale = max(1.0, *(abs(value) for value in (placed.to_original.xx, placed.to_original.xy)), placed.to_original.yy)
    assert np.hypot(back_x - middle[0], back_y - middle[1]) < 1.5 * within_px * scale


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["stretch", "cover", "contain"])
def test_every_orientation_and_fit_is_followed(orientation: int, fit: str) -> None:
    mark = Box(150, 40, 190, 76)
    some = some_settings(image={"width_px": 120, "height_px": 90, "fit": fit}, output={"format": "png"})
    for kind in ("PNG", "JPEG", "TIFF"):
        pixels, placed = rendered(marked((310, 201), mark, orientation, kind), some)
        assert placed.original_px == (310, 201)
        assert_follows(pixels, placed, mark, within_px=0.2)


@pytest.mark.parametrize(("transform", "fit"), CASES, ids=str)
def test_every_transform_that_moves_pixels_is_followed(transform: dict[str, Any], fit: str) -> None:
    mark, image = Box(120, 90, 152, 122), {"width_px": 110, "height_px": 100, "fit": fit}
    augment = {"variants": 3, "transforms": [transform]}
    raw = marked((290, 230), mark, orientation=6)
    for some in (
        some_settings(image=image, output={"format": "png"}, transforms=[transform]),
        some_settings(image=image, output={"format": "png"}, augment=augment),
    ):
        for variant in range(some.augment.variants + 1):
            assert_follows(*rendered(raw, some, variant), mark)


def test_rand_augment_is_followed() -> None:
    augment = {"variants": 80, "transforms": [{"rand_augment": {"operations": 3, "magnitude": 4}}]}
    some, mark = some_settings(image={"width_px": 110, "height_px": 100}, augment=augment), Box(120, 90, 152, 122)
    transform, raw, followed = RandAugment(operations=3, magnitude=4), marked((290, 230), mark), set[str]()
    for variant in range(1, 81):
        rng = keyed_generator(some.seed, "ab" * 32, "augment.transforms[0].rand_augment", variant)
        drawn = {name for name, _ in transform.draw(rng)}
        # Others change the mark's colour, by which it is found.
        if drawn <= {*ORIGINS, "identity"}:
            assert_follows(*rendered(raw, some, variant), mark)
            followed |= drawn
    assert len(followed) >= 5


def test_several_transforms_and_augmented_ones_are_followed_together() -> None:
    some = some_settings(
        image={"width_px": 128, "height_px": 96},
        output={"format": "png"},
        transforms=[{"crop": {"left": 0.1, "top": 0.1, "width": 0.8, "height": 0.8}}, {"rotate": {"angle_deg": 90}}],
        augment={"variants": 8},
    )
    mark = Box(200, 130, 230, 160)
    raw = marked((400, 300), mark, orientation=7)
    for variant in range(9):
        assert_follows(*rendered(raw, some, variant), mark)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_that_was_decoded_smaller_is_followed(orientation: int) -> None:
    mark = Box(903, 611, 1003, 711)
    raw = marked((1403, 1001), mark, orientation, "JPEG")
    for transforms in ([], ["center_crop"], [{"random_crop": {"scale": [0.5, 0.6]}}]):
        some = some_settings(image={"width_px": 64, "height_px": 64}, output={"format": "png"}, transforms=transforms)
        pixels, placed = rendered(raw, some)
        assert len(placed.moves) == 2 + len(transforms)  # One of them is the decoder's.
        assert_follows(pixels, placed, mark, within_px=0.3)


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(30, 400), st.integers(30, 400)),
    target=st.tuples(st.integers(24, 96), st.integers(24, 96)),
    place=st.tuples(st.floats(0.3, 0.6), st.floats(0.3, 0.6)),
    orientation=st.integers(1, 8),
    fit=st.sampled_from(["stretch", "cover", "contain"]),
    transforms=st.lists(st.sampled_from([{n: c} for n in MOVING for c in MOVING[n] if n not in ("crop",)]), max_size=2),
)
def test_any_size_is_followed(
    size: tuple[int, int],
    target: tuple[int, int],
    place: tuple[float, float],
    orientation: int,
    fit: str,
    transforms: list[Any],
) -> None:
    left, top = int(size[0] * place[0]), int(size[1] * place[1])
    mark = Box(left, top, left + max(size[0] // 6, 2), top + max(size[1] // 6, 2))
    ordered = sorted(transforms, key=lambda spec: TRANSFORMS[next(iter(spec))].stage == "after_resize")
    image = {"width_px": target[0], "height_px": target[1], "fit": fit}
    some = some_settings(image=image, output={"format": "png"}, transforms=ordered, seed=size[0])
    pixels, placed = rendered(marked(size, mark, orientation), some)
    seen = placed.place(mark)
    # What is a pixel or two in the output is a blur of which no middle can be found.
    if seen is not None and isinstance(seen[0], Box) and seen[1] > 0.98 and min(seen[0].corners[2]) > 0:
        box = seen[0]
        if min(box.right - box.left, box.bottom - box.top) > 4:
            assert_follows(pixels, placed, mark)


def test_boxes_polygons_and_masks_cover_the_pixels_of_the_mark() -> None:
    some = some_settings(
        image={"width_px": 160, "height_px": 120, "fit": "contain"},
        output={"format": "png"},
        augment={"variants": 3, "transforms": ["random_flip", {"random_rotation": {"max_deg": 20}}]},
    )
    mark = Box(60, 50, 140, 100)
    raw = marked((300, 260), mark, orientation=8)
    bits = np.zeros((260, 300), bool)
    bits[50:100, 60:140] = True
    for variant in range(4):
        pixels, placed = rendered(raw, some, variant)
        red = pixels[:, :, 0].astype(int) - pixels[:, :, 2] > 110
        ys, xs = np.nonzero(red)
        (box, seen), (mask, kept) = placed.place(mark) or (None, 0), placed.place(mask_from_bits(bits)) or (None, 0)
        assert isinstance(box, Box)
        assert isinstance(mask, Mask)
        assert seen == pytest.approx(1)
        assert kept == pytest.approx(1, abs=0.05)
        edges = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert np.abs(np.subtract((box.left, box.top, box.right, box.bottom), edges)).max() < 1.5
        overlap = (mask.bits() & red).sum() / (mask.bits() | red).sum()
        assert overlap > 0.93
        back = placed.place_back(mask)
        assert isinstance(back, Mask)
        assert (back.bits() & bits).sum() / (back.bits() | bits).sum() > 0.93


def test_what_one_step_cuts_off_stays_away_when_the_next_turns_back() -> None:
    turns = [{"rotate": {"angle_deg": 45}}, {"rotate": {"angle_deg": -45}}]
    some = some_settings(image={"width_px": 100, "height_px": 100}, transforms=turns, output={"format": "png"})
    corner = Box(0, 0, 12, 12)
    pixels, placed = rendered(marked((100, 100), corner), some)
    assert placed.from_original.points([(3, 3)])[0] == pytest.approx((3, 3))
    assert (pixels[:12, :12] > 200).all()  # Background.
    assert placed.place(corner) is None
    bits = np.zeros((100, 100), bool)
    bits[:12, :12] = True
    assert placed.place(mask_from_bits(bits)) is None


def test_what_lies_outside_is_not_there_and_what_is_cut_says_so() -> None:
    crop = {"crop": {"left": 50, "top": 0, "width": 50, "height": 100, "unit": "px"}}
    some = some_settings(image={"width_px": 50, "height_px": 100}, transforms=[crop], output={"format": "png"})
    _, placed = rendered(marked((100, 100), Box(10, 10, 20, 20)), some)
    assert placed.place(Box(10, 10, 20, 20)) is None
    assert placed.place(Box(40, 10, 60, 20)) == (Box(0, 10, 10, 20), pytest.approx(0.5))
    # Beyond the image's own edge as well.
    assert placed.place(Box(90, 90, 110, 110)) == (Box(40, 90, 50, 100), pytest.approx(0.25))
    assert placed.place(None) == (None, 1.0)
    assert placed.place_back(Box(-5, -5, 10, 20)) == Box(50, 0, 60, 20)


@pytest.mark.parametrize("name", sorted(set(TRANSFORMS) - set(MOVING) - {"rand_augment"}))
def test_other_transforms_leave_every_pixel_where_it_is(name: str) -> None:
    plain = some_settings(image={"width_px": 60, "height_px": 50})
    some = some_settings(image={"width_px": 60, "height_px": 50}, transforms=[name])
    facts = Renderer(plain).render(marked((90, 70), Box(20, 20, 40, 40)), "ab" * 32).facts
    assert placement(some, facts, "ab" * 32, 0) == placement(plain, facts, "ab" * 32, 0)
    assert vars(TRANSFORMS[name])["stage"] == "after_resize"


def test_pixels_on_disk_are_those_of_the_upright_image_turned_back() -> None:
    rows, columns = np.indices((5, 8))
    stored = np.dstack([columns, rows, rows]).astype(np.uint8)
    for orientation in range(1, 9):
        upright = orient(stored, orientation)
        height, width = upright.shape[:2]
        to_stored = upright_to_stored((width, height), orientation)
        for y in range(height):
            for x in range(width):
                ((at_x, at_y),) = to_stored.points([(x + 0.5, y + 0.5)])
                assert (int(at_x), int(at_y)) == tuple(upright[y, x, :2])


class OwnShift(Transform):
    """Does not say where its pixels come from."""

    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "after_resize"
    random: ClassVar[bool] = False

    def apply(self, pixels: Any, _rng: Any, _background: Any, /) -> Any:
        return np.roll(pixels, 5, axis=1)


class OwnShiftThatSays(OwnShift):
    """Says where its pixels come from, as data/ANNOTATIONS.md shows it."""

    def moves(self, size_px: tuple[int, int], _rng: Any, /) -> tuple[Move, ...]:
        return (Move(translation(-5, 0), size_px),)


class OwnFlip(Flip):
    """Makes other pixels than the class whose moves it inherits."""

    def apply(self, pixels: Any, _rng: Any, _background: Any, /) -> Any:
        return np.roll(pixels, 5, axis=1)


class OtherDefault(Flip):
    """Inherits both, and so moves pixels as it says."""

    direction: Literal["horizontal", "vertical"] = "vertical"


@pytest.mark.parametrize("kind", [OwnShift, OwnFlip])
def test_a_transform_that_does_not_say_it_is_refused_and_never_guessed(kind: type[Transform]) -> None:
    some = some_settings(transforms=[f"{kind.__module__}:{kind.__name__}"])
    made = Renderer(some).render(marked((90, 70), Box(20, 20, 40, 40)), "ab" * 32)
    with pytest.raises(ConfigError, match=f"{kind.__name__} does not say where its pixels come from"):
        placement(some, made.facts, "ab" * 32, 0)


def test_a_transform_of_ones_own_that_says_it_is_followed() -> None:
    name = f"{__name__}:OwnShiftThatSays"
    some = some_settings(image={"width_px": 90, "height_px": 70}, transforms=[name], output={"format": "png"})
    mark = Box(20, 20, 40, 40)
    pixels, placed = rendered(marked((90, 70), mark), some)
    assert_follows(pixels, placed, mark, within_px=0.1)
    assert placed.place(mark) == (Box(25, 20, 45, 40), 1.0)


def test_a_transform_that_inherits_both_is_followed() -> None:
    some = some_settings(image={"width_px": 90, "height_px": 70}, transforms=[f"{__name__}:OtherDefault"])
    made = Renderer(some).render(marked((90, 70), Box(20, 20, 40, 40)), "ab" * 32)
    assert placement(some, made.facts, "ab" * 32, 0).place(Box(20, 20, 40, 40)) == (Box(20, 30, 40, 50), 1.0)


def test_a_further_frame_has_no_placement() -> None:
    some = some_settings(image={"frames": "all"})
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    made = Renderer(some).render(buffer.getvalue(), "ab" * 32)
    with pytest.raises(ConfigError, match="further frame"):
        placement(some, made.facts, "ab" * 32, 1)


def test_a_map_and_its_inverse_are_the_identity() -> None:
    there = Affine(2, 0.5, 3, -1, 1.5, 7)
    assert there.then(there.inverse()).points([(3, 4)])[0] == pytest.approx((3, 4))
    assert build_resizer("fast-lanczos3").version  # The placements above are of the default resizer's pixels.
