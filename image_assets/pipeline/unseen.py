"""What a dataset holds of a part of its source that is there and cannot be listed: it stays as it was."""

from collections.abc import Iterable
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.listing import LISTING_SCHEMA, Listing
from image_assets.core.manifest import ManifestHead
from image_assets.storage.manifests import read_manifest
from image_assets.storage.store import Store

_COLUMNS = ["key", "version", "size_bytes", "bucket", "label", "extra"]


def with_unseen(listing: Listing, store: Store, heads: Iterable[ManifestHead]) -> Listing:
    """Return the listing with the images of unseen parts as they were last read.

    Args:
        heads: the commits that the dataset consists of; of two that hold a key the first counts.

    Raises:
        StoreError: a manifest is damaged.
    """
    if not listing.unseen:
        return listing
    found = LISTING_SCHEMA.empty_table()
    for head in heads:
        rows = read_manifest(store, head.shard, head.number, _COLUMNS).rows
        here = reduce(pc.or_, [pc.starts_with(rows["key"], start) for start in listing.unseen])
        rows = rows.filter(pc.and_(here, pc.invert(pc.is_in(rows["key"], value_set=found["key"].combine_chunks()))))
        # A label that is null was found to be none; an empty one says so.
        columns = {name: rows[name] for name in _COLUMNS} | {"label": pc.fill_null(rows["label"], "")}
        columns["locator"] = pa.nulls(rows.num_rows, pa.binary())
        found = pa.concat_tables([found, pa.table(columns).select(LISTING_SCHEMA.names).cast(LISTING_SCHEMA)])
    return listing.with_rows(found)
