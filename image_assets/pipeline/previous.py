"""What earlier runs left to build on: a shard's last state, published segments, bytes known to fail."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.manifest import Manifest, ManifestHead
from image_assets.core.sample import FAILED
from image_assets.core.sharding import bucket_range
from image_assets.pipeline.detect import State
from image_assets.pipeline.work import Failure
from image_assets.storage.manifests import read_manifest, read_rejected
from image_assets.storage.store import Store


def previous_manifest(store: Store, shard: str, state: State) -> Manifest | None:
    """Return the state a shard builds on: its last commit, or its keys' rows under another number of shards.

    Raises:
        StoreError: a manifest is damaged.
    """
    head = state.current(shard)
    if head is not None:
        return read_manifest(store, shard, head.number)
    first, end = bucket_range(shard)
    pieces = []
    for other in state.foreign:
        low, high = bucket_range(other.shard)
        if low < end and first < high:
            pieces.append(read_manifest(store, other.shard, other.number))
    if not pieces or len({piece.head.recipe_id for piece in pieces}) > 1:
        return None
    rows = pa.concat_tables([piece.rows for piece in pieces])
    inside = pc.and_(pc.greater_equal(rows["bucket"], first), pc.less(rows["bucket"], end))
    return Manifest(pieces[0].head, rows.filter(inside))


def live_segments(store: Store, heads: Iterable[ManifestHead]) -> set[str]:
    """Return the names of the segments that the last commits refer to.

    Raises:
        StoreError: a manifest is damaged.
    """
    names: set[str] = set()
    for head in heads:
        rows = read_manifest(store, head.shard, head.number, ["segment"]).rows
        names.update(rows["segment"].unique().drop_null().to_pylist())
    return names


def known_failures(
    store: Store, heads: Iterable[ManifestHead], shards: Sequence[str], recipe_id: str
) -> dict[str, Failure]:
    """Return the bytes that this recipe is known to fail on, by sha256: they are not decoded again.

    Args:
        heads: the last commits.
        shards: shards whose refused manifests count too, so that a refused shard does not fail the slow way again.

    Raises:
        StoreError: a manifest is damaged.
    """
    columns = ["sha256", "status", "reason", "detail"]
    manifests = [
        read_manifest(store, head.shard, head.number, columns)
        for head in heads
        if head.recipe_id == recipe_id and head.failed_images
    ]
    manifests += [found for shard in shards if (found := read_rejected(store, shard)) is not None]
    failures: dict[str, Failure] = {}
    for manifest in manifests:
        if manifest.head.recipe_id == recipe_id:
            rows = manifest.rows.select(columns)
            rows = rows.filter(pc.and_(pc.equal(rows["status"], FAILED), pc.is_valid(rows["sha256"])))
            for row in rows.to_pylist():
                failures[row["sha256"]] = Failure(row["reason"], row["detail"])
    return failures
