"""Snapshots of a dataset, one an index: which there are, and how they are named."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from image_assets.core.errors import DatasetError
from image_assets.core.index import IndexHead
from image_assets.settings import Settings
from image_assets.storage.identity import look_into_store
from image_assets.storage.indexes import index_numbers, read_index_head
from image_assets.storage.store import Store

# Heads read at once: on an object store each costs a few answers of some 20 ms.
_READERS = 16
_NAMED = 8


def list_snapshots(store: Store) -> list[IndexHead]:
    """Return the head of every snapshot, oldest first.

    Raises:
        StoreError: the store does not answer or an index is damaged.
    """
    return _heads(store, index_numbers(store))


def find_snapshot(store: Store, snapshot: int | str) -> int:
    """Return the number of a snapshot.

    Args:
        snapshot: its number, as an integer or as text; or its digest, or the first 8 or more digits of that. Of several
            snapshots with one digest the newest is meant.

    Raises:
        DatasetError: there is none like that, or there are several with different digests.
        StoreError: the store does not answer or an index is damaged.
    """
    numbers = index_numbers(store)
    if not numbers:
        raise DatasetError(f"no published dataset in {store.url}; `image-assets run` publishes one")
    text = str(snapshot).lower()
    decimal = re.fullmatch(r"[0-9]{1,64}", text) is not None
    if decimal and int(text) in numbers:
        return int(text)
    # Decimal text too: one digest in 43 begins with eight decimal digits.
    if isinstance(snapshot, str) and re.fullmatch(r"[0-9a-f]{8,64}", text):
        return _by_digest(store, numbers, text)
    if decimal or isinstance(snapshot, int):
        raise DatasetError(f"no snapshot {snapshot} in {store.url}; {_what_there_is(store, numbers)}")
    raise DatasetError(
        f"{snapshot!r} is no snapshot: give a number, or 8 or more digits of a digest; {_what_there_is(store, numbers)}"
    )


def snapshots_summary(settings: Settings) -> dict[str, Any]:
    """Return what to say of a dataset's snapshots, oldest first.

    Raises:
        StoreError: the store does not answer, belongs to another dataset, or an index is damaged.
    """
    heads = list_snapshots(look_into_store(settings))
    return {
        "snapshots": [
            {
                "number": head.number,
                "created_at": head.created_at,
                "digest": head.digest,
                "rows": head.rows,
                "recipe_id": head.recipe_id,
                "num_shards": head.num_shards,
                "images": head.totals.get("images_processed"),
                "failed": head.totals.get("corrupted_images"),
            }
            for head in heads
        ]
    }


def _heads(store: Store, numbers: Iterable[int]) -> list[IndexHead]:
    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(lambda number: read_index_head(store, number), numbers))


def _by_digest(store: Store, numbers: list[int], prefix: str) -> int:
    # The newest of each digest: a later number takes an earlier one's place.
    found = {head.digest: head.number for head in _heads(store, numbers) if head.digest.startswith(prefix)}
    if len(found) > 1:
        named = ", ".join(f"{number} ({digest[:16]})" for digest, number in sorted(found.items()))
        raise DatasetError(f"{prefix!r} begins the digests of several snapshots: {named}; give more digits")
    if not found:
        raise DatasetError(f"no snapshot with digest {prefix!r} in {store.url}; {_what_there_is(store, numbers)}")
    return next(iter(found.values()))


def _what_there_is(store: Store, numbers: list[int]) -> str:
    named = ", ".join(f"{head.number} ({head.digest[:8]})" for head in _heads(store, numbers[-_NAMED:]))
    return f"there are {named}" if len(numbers) <= _NAMED else f"of {len(numbers)}, the newest are {named}"
