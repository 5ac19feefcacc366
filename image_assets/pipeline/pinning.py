"""Which snapshot is meant by what was written down of it when something was made of it."""

from dataclasses import dataclass

from image_assets.core.errors import DatasetError, StoreError
from image_assets.storage.indexes import index_numbers, read_index_head
from image_assets.storage.store import Store
from image_assets.storage.vectors import read_vector_head


@dataclass(frozen=True, slots=True)
class Pin:
    """What was written down: ``number`` and ``digest`` of the snapshot."""

    number: int
    digest: str


def pinned_snapshot(store: Store, pin: Pin) -> int:
    """Return the number of the snapshot; where it is gone, that of an equal one.

    Raises:
        DatasetError: it is gone and there is no equal one, or images of it were forgotten since.
        StoreError: the store does not answer or an index is damaged.
    """
    numbers = index_numbers(store)
    if pin.number in numbers and read_index_head(store, pin.number).digest == pin.digest:
        return pin.number
    if equal := next((number for number in reversed(numbers) if _digest(store, number) == pin.digest), None):
        return equal
    if pin.number in numbers:
        raise DatasetError(
            f"snapshot {pin.number} of {store.url} is not what it was: images of it were forgotten; materialize its "
            "asset again"
        )
    there = f"there are {numbers[0]} to {numbers[-1]}" if numbers else "there is none"
    raise DatasetError(
        f"snapshot {pin.number} ({pin.digest[:8]}) of {store.url} is gone, clean-up keeps the newest alone; {there}: "
        "materialize its asset again"
    )


def _digest(store: Store, number: int) -> str | None:
    try:
        return read_index_head(store, number).digest
    except StoreError:
        # Removed between the list and now, or damaged: not an equal one.
        return None


def refuse_other_vectors(store: Store, extractor: str, extractor_digest: str) -> None:
    """Accept vectors that are by the extractor that was written down.

    Raises:
        DatasetError: what is there now is by another one.
        StoreError: it is damaged.
    """
    found = read_vector_head(store)
    if found is not None and found.extractor_digest != extractor_digest:
        raise DatasetError(
            f"feature_vectors was materialized by {extractor}, and the vectors in {store.url} are by {found.extractor} "
            "by now, or of another type; materialize feature_vectors again"
        )
