"""Images whose label is not the one that the images like them have: those where that is surest."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.index import IndexHead
from image_assets.pipeline.report.rows import IMAGE_COLUMNS, ShownImage, beside, shown_images
from image_assets.storage.auto_labels import AutoLabelsHead, iter_auto_labels, read_auto_labels_head
from image_assets.storage.indexes import iter_index
from image_assets.storage.store import Store

_TOLD = ["neighbour_label", "neighbour_confidence"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """An image with a label, and the other one that its neighbours tell with so much confidence (0-1)."""

    image: ShownImage
    told: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Doubts:
    """The surest doubts of an index, the surest first; the head says how many labels were compared."""

    head: AutoLabelsHead
    doubts: tuple[Doubt, ...]


def find_doubts(store: Store, index: IndexHead, most: int) -> Doubts | None:
    """Return the surest doubts, or None when the told labels are not those of this index.

    Args:
        most: at most so many.

    Raises:
        StoreError: a file is damaged.
    """
    head = read_auto_labels_head(store)
    if head is None or not index.is_followed_by(head):
        return None
    found: list[tuple[float, str, Doubt]] = []
    for rows in _disagreeing(store, index):
        confidence = rows["neighbour_confidence"].to_numpy()
        # Before anything is made of the others.
        order = np.argsort(-confidence, kind="stable")[:most]
        some = rows.take(pa.array(order))
        told = zip(some["neighbour_label"].to_pylist(), confidence[order].tolist(), strict=True)
        doubts = [Doubt(image, label, sure) for image, (label, sure) in zip(shown_images(some), told, strict=True)]
        found = sorted([*found, *((-doubt.confidence, doubt.image.id, doubt) for doubt in doubts)], key=_order)[:most]
    return Doubts(head, tuple(doubt for _, _, doubt in found))


def _order(entry: tuple[float, str, Doubt]) -> tuple[float, str]:
    return entry[:2]


def _disagreeing(store: Store, index: IndexHead) -> Iterator[pa.Table]:
    """Yield the rows of plain outputs whose label is another one than that of their neighbours."""
    indexed = iter_index(store, index.number, columns=IMAGE_COLUMNS)
    for table in beside(indexed, iter_auto_labels(store, _TOLD), {name: name for name in _TOLD}):
        other = pc.and_(pc.equal(table["variant"], 0), pc.not_equal(table["label"], table["neighbour_label"]))
        yield table.filter(pc.fill_null(other, False))
