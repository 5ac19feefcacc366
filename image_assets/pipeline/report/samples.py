"""A few images of each of the most frequent labels: the same ones as long as they are there."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.index import INDEX_SCHEMA, IndexHead
from image_assets.pipeline.report.rows import IMAGE_COLUMNS, ShownImage, Smallest, plain_rows, shown_images
from image_assets.storage.indexes import iter_index
from image_assets.storage.store import Store

_PIECE_ROWS = 16_384


def sample_labels(
    store: Store, index: IndexHead, labels: Sequence[str | None], most: int
) -> dict[str | None, tuple[ShownImage, ...]]:
    """Return at most so many images of each label: those with the smallest ids, which are hashes of their keys.

    Raises:
        StoreError: the index is damaged.
    """
    found: dict[str | None, list[ShownImage]] = {label: [] for label in labels}
    if not labels:
        return {}
    schema = pa.schema([INDEX_SCHEMA.field(name) for name in IMAGE_COLUMNS if name != "variant"])
    chosen = Smallest("label", "id", most)
    chosen.add(schema.empty_table())
    wanted = pa.array(labels, pa.string())
    for rows in plain_rows(iter_index(store, index.number, batch_rows=_PIECE_ROWS, columns=IMAGE_COLUMNS)):
        chosen.add(rows.filter(pc.is_in(rows["label"], value_set=wanted)).select(schema.names).cast(schema))
    for image in shown_images(chosen.rows()):
        found[image.label].append(image)
    return {label: tuple(images) for label, images in found.items()}
