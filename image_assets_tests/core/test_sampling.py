"""Samples: stable, nested, of about the right size, and independent of other draws from the same hashes."""

import hashlib

import numpy as np
import pytest

from image_assets.core.errors import ConfigError
from image_assets.core.sampling import in_sample

HASHES = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(20_000)]


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
def test_a_sample_has_about_the_size_that_was_asked_for(fraction):
    # Four standard deviations.
    spread = 4 * np.sqrt(fraction * (1 - fraction) / len(HASHES))
    assert abs(in_sample(HASHES, fraction).mean() - fraction) < spread


def test_a_larger_sample_has_all_of_a_smaller_one_and_one_is_everything():
    smaller, larger = in_sample(HASHES, 0.1), in_sample(HASHES, 0.2)
    assert larger[smaller].all()
    assert in_sample(HASHES, 1.0).all()


def test_who_else_is_there_and_in_which_order_makes_no_difference():
    alone = [bool(in_sample([text], 0.3)[0]) for text in HASHES[:50]]
    assert in_sample(HASHES, 0.3)[:50].tolist() == alone
    assert in_sample(HASHES[::-1], 0.3)[::-1][:50].tolist() == alone


def test_the_draw_says_nothing_of_the_first_digits_of_the_hashes():
    drawn = in_sample(HASHES, 0.5)
    low = np.array([text[0] < "8" for text in HASHES])
    assert abs(drawn[low].mean() - drawn[~low].mean()) < 0.03


def test_it_is_the_same_draw_for_ever():
    assert np.flatnonzero(in_sample(HASHES[:40], 0.1)).tolist() == PINNED


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_what_is_no_fraction_is_refused(fraction):
    with pytest.raises(ConfigError, match=r"is no sample; give more than 0 and at most 1"):
        in_sample(HASHES[:1], fraction)


PINNED: list[int] = [8, 10, 12, 15, 21, 24]
