"""Re-read everything a published dataset consists of and recompute every hash."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from image_assets.core.errors import StoreError
from image_assets.core.index import IndexHead, digest_of
from image_assets.pipeline.progress import stage
from image_assets.settings import Settings
from image_assets.storage.identity import look_into_store, no_index_error
from image_assets.storage.indexes import iter_index, newest_index_head
from image_assets.storage.manifests import read_manifest
from image_assets.storage.segments import iter_images, segment_digest
from image_assets.storage.store import Store
from image_assets.storage.vectors import iter_vectors, read_vector_head


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was re-read, and one sentence for everything that is wrong."""

    segments: int
    images: int
    problems: tuple[str, ...]


def verify_dataset(settings: Settings) -> VerifyReport:
    """Recompute the digest of the newest index, and the hash of every segment and of every image in it.

    Raises:
        DatasetError: nothing was published yet.
        StoreError: the store does not answer.
    """
    store = look_into_store(settings)
    index = newest_index(settings, store)
    problems = [*_index_problems(store, index), *_manifest_problems(store, index), *_vector_problems(store)]
    wanted: dict[str, dict[int, str]] = {}
    for piece in iter_index(store, index.number, columns=["segment", "row", "output_sha256"]):
        for row in piece.to_pylist():
            wanted.setdefault(row["segment"], {})[row["row"]] = row["output_sha256"]
    images = 0
    with stage("verify", "images", total=sum(map(len, wanted.values()))) as told:
        for segment, rows in sorted(wanted.items()):
            images += len(rows)
            problems += _segment_problems(store, index.recipe_id, segment, rows)
            told.advance(len(rows))
    return VerifyReport(len(wanted), images, tuple(problems))


def newest_index(settings: Settings, store: Store) -> IndexHead:
    """Return the head of a dataset's newest index.

    Raises:
        DatasetError: there is none.
        StoreError: it is damaged.
    """
    head = newest_index_head(store)
    if head is None:
        raise no_index_error(settings)
    return head


def newest_num_shards(settings: Settings, store: Store) -> int:
    """Return the number of shards that the dataset has now: its newest index's, else that of the settings.

    Raises:
        StoreError: the store does not answer, or the index is damaged.
    """
    head = newest_index_head(store)
    return head.num_shards if head is not None else settings.num_shards


def _index_problems(store: Store, index: IndexHead) -> list[str]:
    rows, digest = digest_of(iter_index(store, index.number))
    if (rows, digest) != (index.rows, index.digest):
        return [f"index {index.number}: its rows do not give the digest that it names"]
    return []


def _manifest_problems(store: Store, index: IndexHead) -> Iterator[str]:
    for shard, number in index.commits.items():
        try:
            read_manifest(store, shard, number)
        except StoreError as error:
            yield f"shard {shard}: {error}; delete that file and run again"


def _vector_problems(store: Store) -> Iterator[str]:
    try:
        if read_vector_head(store) is not None:
            for _ in iter_vectors(store):
                pass
    except StoreError as error:
        yield f"vectors: {error}; delete that file and run again"


def _segment_problems(store: Store, recipe_id: str, segment: str, rows: dict[int, str]) -> list[str]:
    try:
        if segment_digest(store, recipe_id, segment) != segment:
            return [f"segment {segment}: its bytes do not give its name; delete it and run with --recheck"]
        found = {
            row: hashlib.sha256(data).hexdigest() for row, data in enumerate(iter_images(store, recipe_id, segment))
        }
    except StoreError as error:
        return [f"segment {segment}: {error}; delete it and run with --recheck"]
    return [
        f"segment {segment}, row {row}: the image does not give the hash that the index names"
        for row, sha256 in sorted(rows.items())
        if found.get(row) != sha256
    ]
