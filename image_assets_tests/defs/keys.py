"""Which shard a key falls into, and keys that fall into a given one."""

from itertools import count, islice
from pathlib import Path

from image_assets.core.sharding import bucket_of, bucket_range, shard_names


def shard_of(key: str, num_shards: int = 4) -> str:
    """Return the shard of a key."""
    ranges = {shard: bucket_range(shard) for shard in shard_names(num_shards)}
    return next(shard for shard, (first, end) in ranges.items() if first <= bucket_of(key) < end)


def keys_in(shard: str, number: int, *, prefix: str = "a/key") -> list[str]:
    """Return some keys of JPEG files that fall into a shard."""
    first, end = bucket_range(shard)
    return list(islice((key for n in count() if first <= bucket_of(key := f"{prefix}{n}.jpg") < end), number))


def make_rotten(raw: Path, shard: str) -> list[Path]:
    """Put so many files that are no images into a shard of a small dataset that its check refuses it; return them."""
    paths = [raw / key for key in keys_in(shard, 9, prefix="a/rotten")]
    for number, path in enumerate(paths):
        path.write_bytes(f"no image {number}".encode())
    return paths
