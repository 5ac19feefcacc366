"""A key's shard is fixed for ever, and shards tile the buckets for any number of them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.core.errors import ConfigError
from image_assets.core.sharding import NUM_BUCKETS, bucket_of, bucket_range, buckets_of, parse_shard, shard_names


def test_buckets_never_change():
    # Published datasets depend on these numbers.
    assert [bucket_of(key) for key in ["a.jpg", "shirt/1.png", "日本.jpg"]] == [2046, 1753, 64]


@given(st.integers(1, NUM_BUCKETS))
def test_shards_tile_the_buckets_without_gap_or_overlap(num_shards):
    ranges = [bucket_range(name) for name in shard_names(num_shards)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == NUM_BUCKETS
    assert all(left[1] == right[0] for left, right in pairwise(ranges))
    sizes = [end - first for first, end in ranges]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(0, NUM_BUCKETS - 1), st.integers(1, 300))
def test_a_bucket_lies_in_the_shard_that_the_design_says(bucket, num_shards):
    first, end = bucket_range(shard_names(num_shards)[bucket * num_shards // NUM_BUCKETS])
    assert first <= bucket < end


def test_keys_spread_evenly():
    counts = np.bincount(buckets_of([f"folder/{number}.jpg" for number in range(40_960)]), minlength=NUM_BUCKETS)
    # 10 a bucket on average; a Poisson count above 35 has probability 1e-9.
    assert counts.max() < 35


@pytest.mark.parametrize("name", ["", "3", "3-of-2", "-1-of-16", "03-of-16x", "1-of-5000", "a-of-b"])
def test_what_is_no_shard_is_refused(name):
    with pytest.raises(ConfigError, match="is no shard"):
        parse_shard(name)
