"""A set of hashes behaves like a set, and a large one takes little memory."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_assets.pipeline.hash_sets import HashSet

hashes = st.integers(0, 40).map(lambda number: hashlib.sha256(str(number).encode()).hexdigest())


@settings(deadline=None)
@given(st.lists(st.lists(hashes)), hashes)
def test_it_holds_what_a_set_would_hold(rounds, other):
    found, expected = HashSet(), set()
    for some in rounds:
        found.add(some)
        expected.update(some)
        assert len(found) == len(expected)
    assert all(item in found for item in expected)
    assert (other in found) == (other in expected)


@pytest.mark.parametrize("item", ["00" * 32, "ab" * 31 + "00", "0" * 63 + "1"])
def test_zeros_count(item):
    found = HashSet()
    found.add([item])
    assert item in found
    assert "00" * 31 + "02" not in found
