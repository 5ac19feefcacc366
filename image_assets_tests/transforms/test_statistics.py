"""Random draws are uniform, independent of each other, and the same whatever else is in the list.

Every number here comes from fixed keys, so each test always gives the same result. The thresholds are those which a
perfect generator exceeds with probability 1e-4 (chi-square, Kolmogorov-Smirnov) or 1e-5 (correlation).
"""

import functools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from image_assets.core.randomness import keyed_generator
from image_assets.transforms import TRANSFORMS, build_transform
from image_assets.transforms.base import Pixels, Transform
from image_assets.transforms.colour_jitter import ColourJitter
from image_assets.transforms.rand_augment import OPERATIONS, RandAugment
from image_assets.transforms.random_crop import RandomCrop
from image_assets.transforms.steps import Step, list_steps

DRAWS = 2000
Values = NDArray[np.float64]
# Measures what was drawn, from the pixels alone; mapped to 0-1.
Measure = Callable[[np.random.Generator], float]


def generator(image: int, operation: str = "augment.transforms[0].x", variant: int = 1) -> np.random.Generator:
    return keyed_generator(0, f"{image:064x}", operation, variant)


def apply(transform: Transform, pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return transform.apply(pixels, rng, (0,) * pixels.shape[2])


def most_deviation(values: Values) -> float:
    """Return the Kolmogorov-Smirnov distance from the uniform distribution on 0-1, times the root of the number."""
    ranks = np.arange(len(values) + 1) / len(values)
    ordered = np.sort(values)
    return float(max((ranks[1:] - ordered).max(), (ordered - ranks[:-1]).max()) * math.sqrt(len(values)))


def excess(counts: list[int]) -> float:
    """Return by how many standard deviations chi-square is beyond its mean (Wilson and Hilferty's cube root)."""
    expected = sum(counts) / len(counts)
    chi_square = sum((count - expected) ** 2 for count in counts) / expected
    freedom = len(counts) - 1
    return ((chi_square / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))


def correlation(one: Values, other: Values) -> float:
    return abs(float(np.corrcoef(one, other)[0, 1])) * math.sqrt(len(one))


# A perfect generator exceeds these with probability 1e-4, 1e-4 and 1e-5.
KOLMOGOROV, CHI_SQUARE, PEARSON = 2.23, 3.72, 4.42
RAMP = np.arange(100, dtype=np.uint8).reshape(10, 10, 1)
HALF = RAMP // 2 + np.uint8(100)
LARGE = np.zeros((3000, 4000, 1), np.uint8)
DOT = np.zeros((41, 41, 1), np.uint8)
DOT[18:23, 33:38] = 255
FROM_MIDDLE = np.arange(41.0) - 20


def brightness(rng: np.random.Generator) -> float:
    changed = apply(build_transform({"random_brightness": {"max_change": 0.5}}), RAMP, rng)
    return float(changed.sum() / RAMP.sum() - 0.5)


def contrast(rng: np.random.Generator) -> float:
    changed = apply(build_transform({"random_contrast": {"max_change": 0.5}}), HALF, rng)
    return float(changed.std() / HALF.std() - 0.5)


def rotation(rng: np.random.Generator) -> float:
    turned = apply(build_transform({"random_rotation": {"max_deg": 180}}), DOT, rng)[:, :, 0]
    down, right = turned.sum(axis=1) @ FROM_MIDDLE, turned.sum(axis=0) @ FROM_MIDDLE
    return (math.atan2(-down, right) / math.pi + 1) / 2


def cropped(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return area, ratio, left and top, each mapped to 0-1; where the part lies is read from its address."""
    part = apply(RandomCrop(scale=(0.3, 0.5), ratio=(0.8, 1.25)), LARGE, rng)
    height, width, _ = part.shape
    top, left = divmod(part.ctypes.data - LARGE.ctypes.data, 4000)
    area, ratio = height * width / LARGE.size, (width / 4000) / (height / 3000)
    log_ratio = (math.log(ratio / 0.8)) / math.log(1.25 / 0.8)
    return (area - 0.3) / 0.2, log_ratio, left / (4000 - width), top / (3000 - height)


def jittered(name: str) -> Measure:
    return lambda rng: (
        dict(ColourJitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5).draw(rng))[name]
        - (-0.5 if name == "hue" else 0.5)
    )


def jittered_pixels(rng: np.random.Generator) -> float:
    changed = apply(ColourJitter(brightness=0.5, contrast=0, saturation=0, hue=0), RAMP, rng)
    return float(changed.sum() / RAMP.sum() - 0.5)


MEASURES: dict[str, Measure] = {
    "random_brightness": brightness,
    "random_contrast": contrast,
    "random_rotation": rotation,
    "random_crop area": lambda rng: cropped(rng)[0],
    "random_crop ratio": lambda rng: cropped(rng)[1],
    "random_crop left": lambda rng: cropped(rng)[2],
    "random_crop top": lambda rng: cropped(rng)[3],
    "colour_jitter pixels": jittered_pixels,
    **{f"colour_jitter {name}": jittered(name) for name in ("brightness", "contrast", "saturation", "hue")},
    # Which of the 14 and to which side: each of the 28 is a step of the same height.
    "rand_augment": lambda rng: place_of(RandAugment(operations=1).draw(rng)[0]) / 28 + 1 / 56,
}


def place_of(drawn: tuple[str, float]) -> int:
    return 2 * list(OPERATIONS).index(drawn[0]) + (drawn[1] < 0)


@functools.cache
def measured(name: str, **key: object) -> Values:
    return np.array([MEASURES[name](generator(image, **key)) for image in range(DRAWS)])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MEASURES)
def test_what_is_drawn_is_uniform(name: str) -> None:
    # Steps of 1/28 and of whole pixels cost up to their own height.
    step = math.sqrt(DRAWS) / 56 if name == "rand_augment" else math.sqrt(DRAWS) / 500
    assert most_deviation(measured(name)) < KOLMOGOROV + step


@pytest.mark.parametrize("name", MEASURES)
def test_images_variants_operations_and_seeds_are_uncorrelated(name: str) -> None:
    base = measured(name)
    assert correlation(base[:-1], base[1:]) < PEARSON  # one image and the next
    assert correlation(base, measured(name, variant=2)) < PEARSON
    assert correlation(base, measured(name, operation="augment.transforms[1].x")) < PEARSON
    assert correlation(base, measured(name, operation="transforms[0].x")) < PEARSON
    other_seed = np.array(
        [MEASURES[name](keyed_generator(1, f"{n:064x}", "augment.transforms[0].x", 1)) for n in range(DRAWS)]
    )
    assert correlation(base, other_seed) < PEARSON


def test_the_measures_cover_every_random_transform() -> None:
    measured_names = {name.partition(" ")[0] for name in MEASURES} | {"random_flip"}
    assert measured_names == {name for name, kind in TRANSFORMS.items() if kind.random}


def test_the_draws_of_one_crop_are_uncorrelated() -> None:
    columns = np.array([cropped(generator(image)) for image in range(DRAWS)]).T
    for one in range(4):
        assert all(correlation(columns[one], columns[other]) < PEARSON for other in range(one))


def flipped(p: float, direction: str, image: int) -> tuple[bool, bool]:
    corner = np.array([[0, 1], [2, 3]], np.uint8)[:, :, np.newaxis]
    first = int(
        apply(build_transform({"random_flip": {"p": p, "direction": direction}}), corner, generator(image))[0, 0, 0]
    )
    return bool(first & 1), bool(first & 2)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_flips_happen_with_their_probability_and_each_direction_for_itself(p: float) -> None:
    sides = np.array([flipped(p, "both", image) for image in range(DRAWS)], float)
    tolerance = 4 * math.sqrt(p * (1 - p) / DRAWS)
    assert np.abs(sides.mean(axis=0) - p).max() <= tolerance
    if 0 < p < 1:
        assert correlation(sides[:, 0], sides[:, 1]) < PEARSON
        assert correlation(sides[:-1, 0], sides[1:, 0]) < PEARSON


@pytest.mark.parametrize(("direction", "kept"), [("horizontal", 1), ("vertical", 0)])
def test_a_flip_of_one_direction_never_goes_the_other_way(direction: str, kept: int) -> None:
    assert not any(flipped(0.5, direction, image)[kept] for image in range(200))


def test_every_order_of_a_jitter_is_equally_frequent() -> None:
    orders = Counter(tuple(name for name, _ in ColourJitter().draw(generator(image))) for image in range(DRAWS))
    assert len(orders) == 24
    assert excess(list(orders.values())) < CHI_SQUARE


def test_the_order_of_a_jitter_says_nothing_of_its_factors() -> None:
    drawn = [ColourJitter().draw(generator(image)) for image in range(DRAWS)]
    places = np.array([[name for name, _ in each].index("hue") for each in drawn], float)
    assert correlation(places, np.array([dict(each)["hue"] for each in drawn])) < PEARSON


def test_every_operation_of_rand_augment_is_equally_frequent_to_either_side_and_at_each_place() -> None:
    drawn = [RandAugment(operations=3).draw(generator(image)) for image in range(DRAWS)]
    for place in range(3):
        counts = Counter(place_of(each[place]) for each in drawn)
        assert len(counts) == 28
        assert excess(list(counts.values())) < CHI_SQUARE
    sides = np.array([strength > 0 for each in drawn for _, strength in each])
    assert abs(sides.mean() - 0.5) < 4 * 0.5 / math.sqrt(len(sides))


def test_one_operation_of_rand_augment_says_nothing_of_the_next() -> None:
    drawn = [RandAugment(operations=2).draw(generator(image)) for image in range(3 * DRAWS)]
    pairs = Counter((first[0], second[0]) for first, second in drawn)
    assert len(pairs) == 14 * 14
    assert excess(list(pairs.values())) < CHI_SQUARE


def keys(*names: str, setting: str = "augment.transforms") -> dict[str, list[str]]:
    """Return what the draws of each transform of a list are keyed by, by its name."""
    found: dict[str, list[str]] = {}
    for step in list_steps(names, setting):
        found.setdefault(step.name, []).append(step.operation)
    return found


def test_a_transform_added_behind_leaves_the_draws_of_those_before_it_alone() -> None:
    before, after = keys("random_crop", "random_flip"), keys("random_crop", "random_flip", "random_rotation")
    assert all(after[name] == before[name] for name in before)


def test_a_replaced_neighbour_leaves_the_draws_of_the_others_alone() -> None:
    assert keys("sharpen", "random_flip")["random_flip"] == keys("rand_augment", "random_flip")["random_flip"]


def test_another_place_in_the_list_is_another_draw_so_that_two_of_one_name_draw_apart() -> None:
    # The key holds the place. So a transform put before others, or another order, draws anew for those it moves; the
    # recipe changes with the list in any case, and every image is made again.
    assert keys("random_flip", "random_rotation") != keys("random_rotation", "random_flip")
    assert keys("sharpen", "random_flip")["random_flip"] != keys("random_flip")["random_flip"]
    assert len(set(keys("random_flip", "random_flip")["random_flip"])) == 2


def test_the_two_lists_of_the_settings_draw_apart() -> None:
    assert keys("random_flip") != keys("random_flip", setting="transforms")


def test_parameters_are_not_in_the_key() -> None:
    few, many = (list_steps([{"random_flip": {"p": p}}], "transforms")[0] for p in (0.2, 0.8))
    assert isinstance(few, Step)
    assert few.operation == many.operation


def test_keys_that_run_together_are_still_told_apart() -> None:
    # Seed 1 and variant 11 against seed 11 and variant 1, and so on.
    drawn = {float(keyed_generator(*key).random()) for key in [(1, "a", "b", 11), (11, "a", "b", 1), (1, "ab", "", 11)]}
    assert len(drawn) == 3
