"""What earlier runs left to build on: a shard's last state, published segments, bytes known to fail."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.manifest import Manifest, ManifestHead
from image_assets.core.sample import FAILED
from image_assets.core.sharding import in_shard, shards_overlap
from image_assets.pipeline.detect import State
from image_assets.pipeline.tasks import Failure, Known
from image_assets.storage.contents import content_index
from image_assets.storage.forgotten import forgotten_marks
from image_assets.storage.manifests import read_manifest, read_rejected, read_rows, segments_of
from image_assets.storage.reading_ahead import read_ahead
from image_assets.storage.store import Store


def previous_manifest(store: Store, shard: str, state: State) -> Manifest | None:
    """Return the state a shard builds on: its last commit, or its keys' rows under another number of shards.

    Raises:
        StoreError: a manifest is damaged.
    """
    head = state.current(shard)
    if head is not None:
        return read_manifest(store, shard, head.number)
    return carried_over(store, shard, state.foreign)


def carried_over(store: Store, shard: str, others: Iterable[ManifestHead]) -> Manifest | None:
    """Return what commits of another number of shards hold of a shard's keys, under the head of one of them.

    Raises:
        StoreError: a manifest is damaged.
    """
    pieces = [read_manifest(store, other.shard, other.number) for other in others if shards_overlap(shard, other.shard)]
    if not pieces or len({piece.head.recipe_id for piece in pieces}) > 1:
        return None
    rows = pa.concat_tables([piece.rows for piece in pieces])
    return Manifest(pieces[0].head, rows.filter(in_shard(rows["bucket"], shard)))


@contextmanager
def known_before(store: Store, state: State, shards: Sequence[str]) -> Iterator[Known]:
    """Yield what is known before a run of some shards; valid as long as the block lasts.

    Raises:
        StoreError: a manifest or a segment is damaged.
    """
    recipe_id = state.wanted.recipe_id
    failures = known_failures(store, state, shards)
    with content_index(store, recipe_id, live_segments(store, state.base()), state.present) as contents:
        again = {sha256: failure for sha256, failure in failures.items() if failure.reason in state.options.retry}
        others = {sha256: failure for sha256, failure in failures.items() if sha256 not in again}
        yield Known(contents, others, forgotten_marks(store), again)


def live_segments(store: Store, heads: Iterable[ManifestHead]) -> set[str]:
    """Return the names of the segments that the last commits refer to.

    Raises:
        StoreError: a manifest is damaged.
    """
    names: set[str] = set()
    for head in heads:
        names.update(segments_of(store, head))
    return names


def known_failures(store: Store, state: State, shards: Sequence[str]) -> dict[str, Failure]:
    """Return the bytes that this recipe is known to fail on, by sha256: they are not decoded again.

    Args:
        shards: shards whose refused manifests count too, so that a refused shard does not fail the slow way again.

    Raises:
        StoreError: a manifest is damaged.
    """
    recipe_id = state.wanted.recipe_id
    columns = ["sha256", "status", "reason", "detail", "first_seen", "attempts"]
    heads = [head for head in state.base() if head.recipe_id == recipe_id and head.failed_images]
    commits, images = [(head.shard, head.number) for head in heads], sum(head.images for head in heads)
    committed = zip(heads, read_rows(store, commits, columns, images=images), strict=True)
    rejected = (found for found in read_ahead(partial(read_rejected, store), shards) if found is not None)
    refused = ((found.head, found.rows) for found in rejected if found.head.recipe_id == recipe_id)
    failures: dict[str, Failure] = {}
    for head, rows in chain(committed, refused):
        failed = rows.filter(pc.and_(pc.equal(rows["status"], FAILED), pc.is_valid(rows["sha256"])))
        for row in failed.select(columns).to_pylist():
            since = row["first_seen"] or head.created_at
            failures[row["sha256"]] = Failure(row["reason"], row["detail"], since, row["attempts"] or 1)
    return failures
