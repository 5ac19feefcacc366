"""Very many words: counted and looked up rightly, in memory that does not grow with them."""

import tracemalloc

import numpy as np
import pytest

from image_assets.storage.words import are_among, spooled_words


@pytest.mark.parametrize("count", [0, 1, 5, 300_000])
def test_words_are_counted_and_found_as_numpy_does_in_one_go(scratch, count):
    draw = np.random.default_rng(count)
    # Few different ones in the upper half of the range, and both ends of it.
    words = draw.integers(0, 2**64, count, np.uint64) >> draw.integers(0, 2, count).astype(np.uint64) * np.uint64(50)
    words = np.concatenate([words, np.array([0, 2**64 - 1, 2**64 - 1], np.uint64)]) if count else words
    asked = np.concatenate([words[:1000], draw.integers(0, 2**64, 1000, np.uint64)])
    with spooled_words() as spooled:
        for piece in np.array_split(words, 7):
            spooled.add(piece)
        assert spooled.count() == (len(words), len(np.unique(words)))
        assert np.array_equal(are_among(asked, spooled.ordered()), np.isin(asked, words))
    assert list(scratch.iterdir()) == []


def test_memory_does_not_grow_with_the_number_of_words():
    def peak(runs):
        tracemalloc.start()
        with spooled_words() as spooled:
            for number in range(runs):
                spooled.add(np.random.default_rng(number).integers(0, 2**64, 2**18, np.uint64))
            spooled.count()
            spooled.ordered()
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert peak(6) < 1.1 * peak(2)
