"""Which snapshot a dataset is compared with."""

from dataclasses import dataclass

from image_assets.core.errors import DatasetError
from image_assets.core.index import IndexHead
from image_assets.pipeline.snapshots import find_snapshot
from image_assets.storage.indexes import index_numbers, read_index_head
from image_assets.storage.store import Store

PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class FoundBaseline:
    """The snapshot's head; None when there is none, which ``note`` explains. It ``is_lost`` when it was named."""

    head: IndexHead | None
    note: str = ""
    is_lost: bool = False


def find_baseline(store: Store, index: IndexHead, asked: str) -> FoundBaseline:
    """Return the snapshot before an index, or the one that is asked for by number or digest.

    Raises:
        StoreError: the store does not answer or an index is damaged.
    """
    if asked == PREVIOUS:
        before = [number for number in index_numbers(store) if number < index.number]
        if not before:
            return FoundBaseline(None, "there is no earlier snapshot to compare with")
        return FoundBaseline(read_index_head(store, max(before)))
    try:
        return FoundBaseline(read_index_head(store, find_snapshot(store, asked)))
    except DatasetError as error:
        return FoundBaseline(None, str(error), is_lost=True)
