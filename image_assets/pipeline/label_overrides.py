"""Labels that people gave on a labelling platform: they take the place of the source's, in the index alone."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.hashes import packed_hashes
from image_assets.storage.annotation_files import newest_annotations_head
from image_assets.storage.annotations import read_current
from image_assets.storage.store import Store


@dataclass(frozen=True, slots=True)
class LabelOverrides:
    """The classes that people gave to images, by the hash of their raw bytes: 32 bytes each, and the label's text.

    ``version`` is one word for all of them, empty when there are none.
    """

    version: str
    hashes: NDArray[np.bytes_]
    labels: pa.Array

    def apply(self, rows: pa.Table) -> pa.Table:
        """Return index rows with these labels in place of their own; images without one keep theirs."""
        if not len(self.hashes) or not rows.num_rows:
            return rows
        wanted = packed_hashes(rows["sha256"].to_pylist())
        at = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        found = self.hashes[at] == wanted
        if not found.any():
            return rows
        ours = self.labels.take(pa.array(at, mask=~found))
        place = rows.schema.get_field_index("label")
        labels = pc.coalesce(ours, rows["label"])
        return rows.set_column(place, rows.schema.field(place), labels)


def label_overrides(store: Store) -> LabelOverrides:
    """Return the classes that people gave, as they count now.

    Raises:
        StoreError: the store does not answer or a file of annotations is damaged.
    """
    head = newest_annotations_head(store)
    if head is None or not head.labels:
        return LabelOverrides("", packed_hashes([]), pa.array([], pa.string()))
    facts = read_current(store).facts
    hashes, labels = facts.classes()
    # Of what was read, not of the head: another import may have come in between.
    return LabelOverrides(facts.words()[1], hashes, labels.cast(pa.string()))


def label_overrides_version(store: Store) -> str:
    """Return the version of the overrides; it costs a list and a head.

    Raises:
        StoreError: the store does not answer or a file of annotations is damaged.
    """
    head = newest_annotations_head(store)
    return head.labels if head else ""
