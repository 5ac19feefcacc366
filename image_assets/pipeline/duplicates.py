"""Duplicates among the images of the newest index, exact and near; only what is new is hashed and searched for."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.checks.base import Verdict
from image_assets.core.duplicates import Groups, Images, group_images
from image_assets.core.errors import DatasetError
from image_assets.core.hashes import packed_hashes
from image_assets.core.index import IndexHead
from image_assets.core.neighbours import different_hashes, follow_hashes
from image_assets.core.perceptual import METHOD, hash_pixels
from image_assets.pipeline.pixels import StoredImages, decoded_pixels
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.identity import open_store
from image_assets.storage.indexes import iter_index, newest_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.perceptual import (
    CHUNK_ROWS,
    DuplicatesHead,
    KeptHashes,
    iter_duplicates,
    publish_duplicates,
    read_duplicates_head,
    read_hashes,
    read_neighbours,
    staged_duplicates,
    write_hashes,
    write_neighbours,
)
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables, naming_damage

_PLACES = ["variant", "output_sha256", "segment", "row"]
_IDS = ["variant", "id", "output_sha256"]
# Encoded images in memory at once: 256 of 15 kB are 4 MB.
_BATCH_IMAGES = 256


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
    with in_use(store := open_store(settings)):
        index = newest_index_head(store)
        if index is None:
            raise DatasetError("there is no index to find duplicates in; materialize training_index first")
        before = read_duplicates_head(store)
        if before is not None and _follows(before, index, distance_bits):
            return DuplicatesReport(before, 0, published=False)
        hashed, images = _hashed_images(store, index)
        groups = _grouped(store, images, distance_bits)
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
        with staged_duplicates(head, _aligned(store, index, groups)) as staged:
            publish_duplicates(store, staged)
        return DuplicatesReport(head, hashed, published=True)


def duplicates_summary(settings: Settings) -> dict[str, Any]:
    """Bring the duplicates in line with the newest index and return what to say of them, group by group.

    Raises:
        ImageAssetsError: as :func:`build_duplicates`; or another run published other images meanwhile.
    """
    head = build_duplicates(settings).head
    groups: dict[str, list[dict[str, Any]]] = {}
    with in_use(store := open_store(settings)):
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
    wanted = (index.number, index.digest, METHOD, distance_bits)
    return (head.index_number, head.index_digest, head.method, head.distance_bits) == wanted


def _hashed_images(store: Store, index: IndexHead) -> tuple[int, Images]:
    """Return how many images had to be hashed, and all plain ones of an index with their hashes."""
    ids, contents = [np.empty(0, "S16")], [packed_hashes([])]
    for rows in _plain_rows(store, index, _IDS):
        ids.append(np.frombuffer(bytes.fromhex("".join(rows["id"].to_pylist())), "S16"))
        contents.append(packed_hashes(rows["output_sha256"].to_pylist()))
    every = np.concatenate(contents)
    kept = read_hashes(store, METHOD)
    places, found = kept.find(every)
    missing = np.unique(every[~found])
    if len(missing):
        _hash_missing(store, index, missing)
        kept = read_hashes(store, METHOD)
        places, _ = kept.find(every)
    return len(missing), Images(np.concatenate(ids), places, kept.hashes[places], kept.has_hash[places])


def _plain_rows(store: Store, index: IndexHead, columns: list[str]) -> Iterator[pa.Table]:
    for piece in iter_index(store, index.number, columns=columns):
        yield piece.filter(pc.equal(piece["variant"], 0))


def _hash_missing(store: Store, index: IndexHead, missing: NDArray[np.bytes_]) -> None:
    """Hash the images of some contents, keeping each chunk as soon as it is full: a killed run redoes less than one."""
    with StoredImages(store, index.recipe_id) as images, ThreadPoolExecutor() as threads:
        for rows in cut_tables(_first_rows(store, index, missing), CHUNK_ROWS):
            # In the order they are stored in, so that each piece of a segment is read once.
            ordered = rows.sort_by([("segment", "ascending"), ("row", "ascending")])
            hashes: list[int | None] = []
            for first in range(0, ordered.num_rows, _BATCH_IMAGES):
                batch = ordered.slice(first, _BATCH_IMAGES)
                segments = batch["segment"].to_pylist()
                encoded = [images.encoded(*place) for place in zip(segments, batch["row"].to_pylist(), strict=True)]
                paths = [layout.segment(index.recipe_id, segment) for segment in segments]
                hashes += threads.map(_hash_encoded, paths, encoded)
            write_hashes(store, METHOD, ordered["output_sha256"].to_pylist(), hashes)


def _first_rows(store: Store, index: IndexHead, missing: NDArray[np.bytes_]) -> Iterator[pa.Table]:
    """Yield one row of each content that is missing."""
    wanted = KeptHashes(missing, np.empty(0, np.uint64), np.ones(len(missing), bool))
    left = np.ones(len(missing), bool)
    for rows in _plain_rows(store, index, _PLACES):
        places, is_missing = wanted.find(packed_hashes(rows["output_sha256"].to_pylist()))
        asked = np.flatnonzero(is_missing & left[places])
        firsts = asked[np.unique(places[asked], return_index=True)[1]]
        left[places[firsts]] = False
        yield rows.take(pa.array(np.sort(firsts)))


def _hash_encoded(path: str, data: bytes) -> int | None:
    with naming_damage(path):
        return hash_pixels(decoded_pixels(data))


def _grouped(store: Store, images: Images, distance_bits: int) -> Groups:
    before = read_neighbours(store, METHOD, distance_bits)
    hashes = different_hashes(images.hashes[images.has_hash])
    neighbours = follow_hashes(before, hashes, distance_bits)
    # It is true of these hashes whatever becomes of the groups: a run that is killed here has saved the search.
    if not np.array_equal(before.hashes, hashes):
        write_neighbours(store, METHOD, distance_bits, neighbours)
    return group_images(images, neighbours)


def _aligned(store: Store, index: IndexHead, groups: Groups) -> Iterator[pa.Table]:
    """Yield a row for each of the index, in its order; the rows of an image follow its plain one."""
    done = 0
    for piece in iter_index(store, index.number, columns=["id", "variant"]):
        images = done - 1 + np.cumsum(piece["variant"].to_numpy() == 0)
        done = int(images[-1]) + 1
        grouped = groups.grouped[images]
        names = [group.hex() for group in _whole(groups.groups[images])]
        kinds = np.where(groups.exact[images], "exact", "near")
        columns = {
            "id": piece["id"],
            "group": pa.array(names, pa.string(), mask=~grouped),
            "kind": pa.array(kinds.tolist(), pa.string(), mask=~grouped),
            "distance_bits": pa.array(groups.nearest_bits[images], mask=~grouped),
        }
        yield pa.table(columns)


def _whole(ids: NDArray[np.bytes_]) -> list[bytes]:
    """Return ids as bytes, with the zeros at their ends that numpy leaves out."""
    data = ids.tobytes()
    return [data[first : first + 16] for first in range(0, len(data), 16)]


def _grouped_rows(store: Store, head: DuplicatesHead) -> Iterator[dict[str, Any]]:
    """Yield the images that have duplicates: their group, key, kind and distance, in the order of the index."""
    indexed = iter_index(store, head.index_number, columns=["key", "variant"])
    both = zip(cut_tables(indexed, CHUNK_ROWS), cut_tables(iter_duplicates(store), CHUNK_ROWS), strict=False)
    for rows, duplicates in both:
        columns = {"group": duplicates["group"], "key": rows["key"], "kind": duplicates["kind"]}
        table = pa.table({**columns, "distance_bits": duplicates["distance_bits"]})
        plain = pc.and_(pc.equal(rows["variant"], 0), pc.is_valid(duplicates["group"]))
        yield from table.filter(plain).to_pylist()
