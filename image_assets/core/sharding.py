"""Which bucket and which shard an image belongs to: decided by its key alone, fixed for ever."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError

NUM_BUCKETS = 4096


def bucket_of(key: str) -> int:
    """Return the bucket of a key, in [0, NUM_BUCKETS)."""
    return int(buckets_of([key])[0])


def buckets_of(keys: Iterable[str]) -> NDArray[np.uint16]:
    """Return the bucket of each key, shape (len(keys),)."""
    digests = b"".join([hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys])
    return (np.frombuffer(digests, dtype="<u8") % NUM_BUCKETS).astype(np.uint16)


def bucket_range(shard: str) -> tuple[int, int]:
    """Return the half-open range of buckets ``[first, end)`` that a shard holds.

    Raises:
        ConfigError: the name is no shard name.
    """
    number, of = parse_shard(shard)
    return -(-number * NUM_BUCKETS // of), -(-(number + 1) * NUM_BUCKETS // of)


def shards_overlap(one: str, other: str) -> bool:
    """Return whether two shards, of whatever numbers of shards, have a bucket in common.

    Raises:
        ConfigError: a name is no shard name.
    """
    (first, end), (low, high) = bucket_range(one), bucket_range(other)
    return low < end and first < high


def in_shard(buckets: pa.ChunkedArray, shard: str) -> pa.ChunkedArray:
    """Return which of some buckets a shard holds.

    Raises:
        ConfigError: the name is no shard name.
    """
    first, end = bucket_range(shard)
    return pc.and_(pc.greater_equal(buckets, first), pc.less(buckets, end))


def shard_names(num_shards: int) -> list[str]:
    """Return every shard's name in bucket order, ``00-of-16`` to ``15-of-16``.

    The number of shards is part of the name, so a name means the same buckets whatever the settings say later.
    """
    width = len(str(num_shards - 1))
    return [f"{number:0{width}d}-of-{num_shards}" for number in range(num_shards)]


def parse_shard(shard: str) -> tuple[int, int]:
    """Return ``(number, num_shards)`` of a shard name.

    Raises:
        ConfigError: the name is no shard name.
    """
    number, separator, of = shard.partition("-of-")
    if separator and number.isdecimal() and of.isdecimal() and int(number) < int(of) <= NUM_BUCKETS:
        return int(number), int(of)
    raise ConfigError(f"{shard!r} is no shard; shards are named like {shard_names(16)[3]!r}")
