"""Perceptual hashes of pixels, and the search for those that are near each other, against comparing all with all."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from image_assets.core.duplicates import Images, group_images
from image_assets.core.hamming import MAX_DISTANCE, HammingIndex
from image_assets.core.neighbours import NO_NEIGHBOUR, Neighbours, follow_hashes, no_neighbours
from image_assets.core.perceptual import hash_pixels

# Few bits of few hashes change, so that most have neighbours at all distances; the ends of bands are among the bits.
BITS = [0, 1, 2, 3, 14, 15, 16, 17, 31, 32, 33, 47, 48, 49, 62, 63]
near_hashes = st.builds(
    lambda start, bits: start ^ sum(1 << bit for bit in bits),
    st.sampled_from([0, 2**64 - 1, 0x0123456789ABCDEF]),
    st.sets(st.sampled_from(BITS), max_size=len(BITS)),
)
hash_lists = st.lists(near_hashes, max_size=40)
distances = st.integers(0, MAX_DISTANCE)


def picture(seed: int, size: int = 64) -> Image.Image:
    """A soft picture of 8 x 8 blobs of colour."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)


def hashed(image: Image.Image) -> int:
    pixels = np.asarray(image)
    found = hash_pixels(pixels if pixels.ndim == 3 else pixels[:, :, None])
    assert found is not None
    return found


def as_hashes(numbers) -> np.ndarray:
    return np.array(list(numbers), np.uint64)


def grouped_by_brute_force(hashes: list[int], distance_bits: int) -> Neighbours:
    """All with all, and groups grown one by one."""
    hashes = sorted(hashes)
    near = {one: [o for o in hashes if o != one and (o ^ one).bit_count() <= distance_bits] for one in hashes}
    roots: dict[int, int] = {}
    for one in hashes:
        if one not in roots:
            group, todo = {one}, [one]
            while todo:
                news = set(near[todo.pop()]) - group
                group |= news
                todo += news
            roots |= dict.fromkeys(group, min(group))
    nearest = [min(((o ^ one).bit_count() for o in near[one]), default=NO_NEIGHBOUR) for one in hashes]
    return Neighbours(as_hashes(hashes), as_hashes(roots[one] for one in hashes), np.array(nearest, np.uint8))


def assert_same(found: Neighbours, expected: Neighbours) -> None:
    for name in ("hashes", "roots", "nearest"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist(), name


@hypothesis_settings(deadline=None, derandomize=True, max_examples=60)
@given(hash_lists, hash_lists, distances)
def test_the_search_finds_each_pair_that_comparing_all_finds_and_once(hashes, queries, distance_bits):
    hits = HammingIndex(as_hashes(hashes)).within(as_hashes(queries), distance_bits)
    found = [triple for hit in hits for triple in zip(hit.queries, hit.positions, hit.bits, strict=True)]
    every = itertools.product(enumerate(queries), enumerate(hashes))
    compared = [(at, to, (one ^ other).bit_count()) for (at, one), (to, other) in every]
    assert sorted(found) == sorted(triple for triple in compared if triple[2] <= distance_bits)


@hypothesis_settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.sets(near_hashes, max_size=30), min_size=1, max_size=4), distances)
def test_after_any_history_neighbours_are_those_of_comparing_all_with_all(history, distance_bits):
    known = no_neighbours()
    for hashes in history:
        known = follow_hashes(known, as_hashes(sorted(hashes)), distance_bits)
        assert_same(known, grouped_by_brute_force(list(hashes), distance_bits))


def test_random_hashes_by_the_thousand_agree_with_comparing_all_with_all():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 3000, dtype=np.uint64)
    for bits in range(1, 12):
        # A hundred each that differ in so many bits from one that is there.
        masks = [sum(1 << int(bit) for bit in rng.choice(64, bits, replace=False)) for _ in range(100)]
        hashes = np.concatenate([hashes, hashes[:100] ^ as_hashes(masks)])
    hits = list(HammingIndex(hashes).within(hashes, 8))
    found = set(
        zip(np.concatenate([h.queries for h in hits]), np.concatenate([h.positions for h in hits]), strict=True)
    )
    assert found == set(zip(*np.nonzero(np.bitwise_count(hashes[:, None] ^ hashes) <= 8), strict=True))


@pytest.mark.parametrize("distance_bits", [-1, MAX_DISTANCE + 1])
def test_a_distance_that_is_not_searched_for_is_refused(distance_bits):
    with pytest.raises(ValueError, match="give 0 to 16"):
        list(HammingIndex(as_hashes([1])).within(as_hashes([1]), distance_bits))


def test_very_many_hashes_near_each_other_are_kept_as_one_value_each():
    # All pairs would be 8 million.
    hashes = as_hashes(sum(1 << bit for bit in range(12) if number >> bit & 1) for number in range(4096))
    found = follow_hashes(no_neighbours(), hashes, 8)
    assert (found.roots == 0).all()
    assert (found.nearest == 1).all()


def test_a_hash_is_the_same_on_every_machine():
    # Plain arithmetic: no decoder and no resizer has a part in these pixels.
    down, across = np.mgrid[:75, :131]
    pixels = np.stack([down * across % 251, (down * 7 + across) % 256, (down + across * across) % 241], axis=2)
    assert hash_pixels(pixels.astype(np.uint8)) == 0x409182EF0F27E5F9


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.convert("L"),
        lambda image: image.resize((32, 32), Image.Resampling.LANCZOS),
        lambda image: image.resize((160, 160), Image.Resampling.LANCZOS),
        lambda image: image.point(lambda value: value * 0.8),
    ],
    ids=["grey", "smaller", "larger", "darker"],
)
def test_a_changed_picture_stays_near_its_original(change):
    assert max((hashed(change(picture(n))) ^ hashed(picture(n))).bit_count() for n in range(20)) <= 6


def test_different_pictures_are_far_apart():
    hashes = [hashed(picture(number)) for number in range(50)]
    assert min((one ^ other).bit_count() for one, other in itertools.combinations(hashes, 2)) > 8


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (224, 224), (640, 480)])
@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_a_flat_image_has_no_hash_whatever_its_colour(size, value):
    assert hash_pixels(np.full((*size, 3), value, np.uint8)) is None
    assert hash_pixels(np.full((*size, 1), value, np.uint8)) is None


def test_a_flat_image_with_noise_has_no_hash():
    noise = np.random.default_rng(0).integers(250, 255, (224, 224, 3)).astype(np.uint8)
    assert hash_pixels(noise) is None


# Contents (a byte each), hashes (None: flat), and of each image: the number of its group's first image, exact, bits.
GROUPS = {
    "copies": ([1, 1, 2], [0, 0, 2**40 - 1], [(0, True, 0), (0, True, 0), None]),
    "one hash of different bytes": ([1, 2], [5, 5], [(0, False, 0), (0, False, 0)]),
    "near": ([1, 2, 3], [0, 7, 2**64 - 1], [(0, False, 3), (0, False, 3), None]),
    "a chain": ([1, 2, 3], [0, 0xFF, 0xFFFF], [(0, False, 8), (0, False, 8), (0, False, 8)]),
    "flat ones": ([1, 2, 1], [None, None, None], [(0, True, 0), None, (0, True, 0)]),
    # Zero stands for the hash that a flat image does not have.
    "a flat one and one of hash 0": ([1, 2], [None, 0], [None, None]),
    "none at all": ([], [], []),
}


@pytest.mark.parametrize("case", GROUPS)
def test_groups_are_of_the_same_bytes_or_of_near_hashes(case):
    contents, hashes, expected = GROUPS[case]
    has_hash = np.array([value is not None for value in hashes], bool)
    images = Images(
        # The smallest id is the first image's, and ends in a zero, which numpy likes to drop.
        np.array([bytes([1 + number]) + b"x" * 14 + b"\0" for number in range(len(contents))], "S16"),
        np.array(contents, np.int64),
        as_hashes(value or 0 for value in hashes),
        has_hash,
    )
    different = np.unique(images.hashes[has_hash])
    found = group_images(images, follow_hashes(no_neighbours(), different, 8))
    told = zip(found.grouped, found.groups, found.exact, found.nearest_bits, strict=True)
    assert [(one[0] - 1, exact, bits) if grouped else None for grouped, one, exact, bits in told] == expected
    assert found.count == len({entry[0] for entry in expected if entry})
