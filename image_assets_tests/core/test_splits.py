"""Splits as arithmetic: units stay whole, nothing changes sides, fractions are kept as far as whole images allow."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from image_assets.core.splits import (
    HELD,
    NO_SPLIT,
    SPLITS,
    Candidates,
    assign,
    joined,
    order_keys,
    settle,
    units_of,
)

TRAIN, VAL, TEST = range(3)
EIGHTY = (0.8, 0.1, 0.1)


def contents(count: int) -> np.ndarray:
    return np.frombuffer(np.random.default_rng(1).bytes(16 * count), "S16")


def codes(values) -> np.ndarray:
    return np.array(values, np.int8)


def candidates(units, *, strata=None, pins=None, hints=None, seed=0) -> Candidates:
    count = len(units)
    nothing = [NO_SPLIT] * count
    return Candidates(
        units_of(np.array(units, np.int64)),
        np.array([0] * count if strata is None else strata, np.int64),
        order_keys(contents(count), seed),
        codes(nothing if pins is None else pins),
        codes(nothing if hints is None else hints),
    )


@pytest.mark.parametrize(
    ("pins", "hints", "expected", "bridged"),
    [
        pytest.param([-1, -1], [-1, -1], [-1, -1], 0, id="nothing is known"),
        pytest.param([VAL, -1], [-1, -1], [VAL, VAL], 0, id="what is like one in val goes there"),
        pytest.param([TRAIN, TEST], [-1, -1], [TRAIN, HELD], 1, id="train stays and test is kept out"),
        pytest.param([VAL, TEST, -1], [-1] * 3, [VAL, HELD, HELD], 1, id="the bridge itself is in none"),
        pytest.param([TRAIN, TRAIN, TEST, -1], [-1] * 4, [TRAIN, TRAIN, HELD, HELD], 1, id="all that trained stay"),
        pytest.param([-1, -1], [TEST, -1], [TEST, TEST], 0, id="an edited image stays where its key was"),
        pytest.param([TEST, -1], [TRAIN, TRAIN], [TEST, HELD], 0, id="bytes say more than keys, and keys are no lie"),
        pytest.param([-1, -1], [TRAIN, TEST], [TRAIN, HELD], 0, id="two edited images that are alike by now"),
        pytest.param([-1] * 3, [TRAIN, TEST, -1], [TRAIN, HELD, TRAIN], 0, id="and a new one, as if it came later"),
    ],
)
def test_what_is_known_of_a_unit_decides(pins, hints, expected, bridged):
    settled = settle(candidates([0] * len(pins), pins=pins, hints=hints))
    assert settled.splits.tolist() == expected
    assert len(settled.bridged) == bridged


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), min_size=1, max_size=120),
    st.sampled_from([EIGHTY, (0.5, 0.25, 0.25), (1.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.34, 0.33, 0.33)]),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_every_unit_is_whole_and_only_wanted_splits_are_used(images, fractions):
    units, strata = zip(*images, strict=True)
    wanted = candidates(units, strata=strata)
    splits = assign(wanted, settle(wanted).splits, fractions)
    assert all(fractions[code] > 0 for code in splits)
    for unit in set(units):
        assert len(set(splits[np.array(units) == unit])) == 1


@given(st.lists(st.integers(0, 6), min_size=1, max_size=300), st.sampled_from([EIGHTY, (0.6, 0.3, 0.1)]))
@hypothesis_settings(max_examples=100, deadline=None)
def test_single_images_are_within_one_of_what_each_label_and_all_together_should_have(strata, fractions):
    wanted = candidates(range(len(strata)), strata=strata)
    splits = assign(wanted, settle(wanted).splits, fractions)
    for chosen in [np.array(strata) == stratum for stratum in set(strata)] + [np.ones(len(strata), bool)]:
        counts = np.bincount(splits[chosen], minlength=3)
        slack = 1 if chosen.sum() < len(strata) else 2
        assert np.abs(counts - np.array(fractions) * chosen.sum()).max() <= slack + 1e-6


# A world of 24 images: what is there and how it hangs together changes from state to state.
worlds = st.lists(
    st.dictionaries(st.integers(0, 23), st.integers(0, 9), min_size=1, max_size=24), min_size=1, max_size=8
)


@given(worlds, st.sampled_from([EIGHTY, (0.4, 0.3, 0.3)]))
@hypothesis_settings(max_examples=200, deadline=None)
def test_through_all_changes_nothing_changes_sides_and_nothing_leaks(states, fractions):
    pinned: dict[int, int] = {}
    for state in states:
        images = sorted(state)
        units = [state[image] for image in images]
        wanted = candidates(units, strata=[image % 3 for image in images], pins=[pinned.get(i, -1) for i in images])
        splits = assign(wanted, settle(wanted).splits, fractions)
        for image, code in zip(images, splits.tolist(), strict=True):
            assert code == pinned.get(image, code) or code == HELD
            if code != HELD:
                pinned.setdefault(image, code)
        for unit in set(units):
            assert len(set(splits[np.array(units) == unit]) - {HELD}) <= 1


known = st.integers(NO_SPLIT, TEST)


@given(
    st.lists(st.tuples(st.integers(0, 11), known), min_size=1, max_size=30), st.lists(known, min_size=12, max_size=12)
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_once_what_was_decided_is_noted_it_is_decided_again(images, pinned):
    bytes_of, hints = map(np.array, zip(*images, strict=True))
    # Copies are in one unit; of each two contents, too.
    units, keys, pins = bytes_of // 2, order_keys(contents(12), 0)[bytes_of], codes(pinned)
    before = replace(candidates(units, pins=pins[bytes_of], hints=hints), keys=keys)
    splits = assign(before, settle(before).splits, EIGHTY)
    noted = splits != HELD
    for content, code in zip(bytes_of[noted], splits[noted], strict=True):
        pins[content] = code if pins[content] == NO_SPLIT else pins[content]
    again = replace(before, pins=pins[bytes_of], hints=np.where(noted, splits, before.hints))
    assert settle(again).splits.tolist() == splits.tolist()


def test_a_dataset_that_grows_by_ones_keeps_its_fractions():
    pinned: list[int] = []
    for count in range(1, 201):
        wanted = candidates(range(count), pins=[*pinned, NO_SPLIT])
        pinned = assign(wanted, settle(wanted).splits, EIGHTY).tolist()
    assert np.abs(np.bincount(pinned, minlength=3) - [160, 20, 20]).max() <= 1


def test_the_seed_decides_which_images_measure():
    one, same, other = (assign(w := candidates(range(100), seed=seed), settle(w).splits, EIGHTY) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert sorted(one) == sorted(other)


@pytest.mark.parametrize(
    ("units", "ties", "expected"),
    [
        ([0, 1, 2], [-1, -1, -1], [0, 1, 2]),
        ([0, 1, 2, 3], [5, -1, 5, -1], [0, 1, 0, 2]),
        # A chain: by unit, by tie, by unit, by tie.
        ([0, 0, 1, 1, 2], [-1, 3, 3, 4, 4], [0, 0, 0, 0, 0]),
        ([], [], []),
    ],
)
def test_what_hangs_together_by_either_is_one_unit(units, ties, expected):
    assert joined(np.array(units, np.int64), np.array(ties, np.int64)).tolist() == expected


def test_there_is_nothing_to_split_in_nothing():
    nothing = candidates([])
    assert len(assign(nothing, settle(nothing).splits, EIGHTY)) == 0
    assert SPLITS == ("train", "val", "test")
