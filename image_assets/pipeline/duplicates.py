"""Duplicates among the images of the newest index, exact and near; only what is new is hashed and searched for."""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.checks.base import Verdict
from image_assets.core.errors import DatasetError
from image_assets.core.index import IndexHead
from image_assets.core.perceptual import METHOD
from image_assets.pipeline.grouping import Grouped, group_outputs, image_of_row
from image_assets.pipeline.new_contents import outputs_of_index
from image_assets.settings import Settings
from image_assets.storage.identity import no_index_error, open_made_store
from image_assets.storage.indexes import iter_index, newest_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.perceptual import (
    CHUNK_ROWS,
    DuplicatesHead,
    iter_duplicates,
    publish_duplicates,
    read_duplicates_head,
    staged_duplicates,
)
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables


@dataclass(frozen=True, slots=True)
class DuplicatesReport:
    """The file of duplicates after this step; ``hashed`` output images had no perceptual hash yet."""

    head: DuplicatesHead
    hashed: int
    published: bool
    verdicts: tuple[Verdict, ...] = ()

    @property
    def index_digest(self) -> str:
        """The digest of the index that the file follows."""
        return self.head.index_digest

    @property
    def facts(self) -> dict[str, str | int | float]:
        """How many images have others that are the same, or nearly, and how many were new."""
        head = self.head
        return {
            "dagster/row_count": head.rows,
            "images": head.images,
            "groups": head.groups,
            "exact": head.exact,
            "near": head.near,
            "flat": head.flat,
            "hashed": self.hashed,
            "distance_bits": head.distance_bits,
            "index_number": head.index_number,
            "index_digest": head.index_digest,
        }


def build_duplicates(settings: Settings) -> DuplicatesReport:
    """Bring ``duplicates.parquet`` in line with the newest index.

    Every row of the index has one there, in its order. An image's rows, of all variants and frames, say what its plain
    output (variant 0) is like: ``group`` is the smallest id of the images that hang together, null for one alone.

    Raises:
        DatasetError: there is no index yet.
        StoreError: the store does not answer or a file is damaged.
    """
    distance_bits = settings.duplicates.distance_bits
    with in_use(store := open_made_store(settings)):
        index = newest_index_head(store)
        if index is None:
            raise no_index_error(settings)
        before = read_duplicates_head(store)
        if before is not None and _follows(before, index, distance_bits):
            return DuplicatesReport(before, 0, published=False)
        grouped = group_outputs(settings, outputs_of_index(store, index))
        images, groups = grouped.images, grouped.groups
        head = DuplicatesHead(
            method=METHOD,
            distance_bits=distance_bits,
            index_number=index.number,
            index_digest=index.digest,
            rows=index.rows,
            images=len(images.ids),
            groups=groups.count,
            exact=int(groups.exact.sum()),
            near=int(np.sum(groups.grouped & ~groups.exact)),
            flat=int(np.sum(~images.has_hash)),
        )
        with staged_duplicates(head, _aligned(store, index, grouped)) as staged:
            publish_duplicates(store, staged)
        return DuplicatesReport(head, grouped.hashed, published=True)


def duplicates_summary(settings: Settings) -> dict[str, Any]:
    """Bring the duplicates in line with the newest index and return what to say of them, group by group.

    Raises:
        ImageAssetsError: as :func:`build_duplicates`; or another run published other images meanwhile.
    """
    head = build_duplicates(settings).head
    groups: dict[str, list[dict[str, Any]]] = {}
    with in_use(store := open_made_store(settings)):
        for row in _grouped_rows(store, head):
            groups.setdefault(row.pop("group"), []).append(row)
        if read_duplicates_head(store) != head:
            raise DatasetError("another run published an index meanwhile; ask again")
    return {
        "dataset": settings.name,
        "index_number": head.index_number,
        "distance_bits": head.distance_bits,
        "images": head.images,
        "exact": head.exact,
        "near": head.near,
        "flat": head.flat,
        "groups": [{"group": name, "images": sorted(groups[name], key=itemgetter("key"))} for name in sorted(groups)],
    }


def _follows(head: DuplicatesHead, index: IndexHead, distance_bits: int) -> bool:
    return index.is_followed_by(head) and (head.method, head.distance_bits) == (METHOD, distance_bits)


def _aligned(store: Store, index: IndexHead, grouped: Grouped) -> Iterator[pa.Table]:
    """Yield a row for each of the index, in its order."""
    groups, done = grouped.groups, 0
    for piece in iter_index(store, index.number, columns=["id", "variant"]):
        images = image_of_row(piece["variant"].to_numpy(), done)
        done = int(images[-1]) + 1
        alone = ~groups.grouped[images]
        kinds = np.where(groups.exact[images], "exact", "near")
        columns = {
            "id": piece["id"],
            "group": grouped.names_of(images),
            "kind": pa.array(kinds.tolist(), pa.string(), mask=alone),
            "distance_bits": pa.array(groups.nearest_bits[images], mask=alone),
        }
        yield pa.table(columns)


def _grouped_rows(store: Store, head: DuplicatesHead) -> Iterator[dict[str, Any]]:
    """Yield the images that have duplicates: their group, key, kind and distance, in the order of the index."""
    indexed = iter_index(store, head.index_number, columns=["key", "variant"])
    both = zip(cut_tables(indexed, CHUNK_ROWS), cut_tables(iter_duplicates(store), CHUNK_ROWS), strict=False)
    for rows, duplicates in both:
        columns = {"group": duplicates["group"], "key": rows["key"], "kind": duplicates["kind"]}
        table = pa.table({**columns, "distance_bits": duplicates["distance_bits"]})
        plain = pc.and_(pc.equal(rows["variant"], 0), pc.is_valid(duplicates["group"]))
        yield from table.filter(plain).to_pylist()
