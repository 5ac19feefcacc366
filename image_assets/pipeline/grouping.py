"""Which images of some index rows are the same, or nearly; only output images without a perceptual hash are hashed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.duplicates import Groups, Images, group_images
from image_assets.core.hashes import packed_hashes
from image_assets.core.neighbours import different_hashes, follow_hashes
from image_assets.core.perceptual import METHOD, hash_pixels
from image_assets.pipeline.pixels import StoredImages, decoded_pixels
from image_assets.storage import layout
from image_assets.storage.indexes import iter_index
from image_assets.storage.perceptual import (
    CHUNK_ROWS,
    KeptHashes,
    read_hashes,
    read_neighbours,
    write_hashes,
    write_neighbours,
)
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables, naming_damage

_PLACES = ["variant", "output_sha256", "segment", "row"]
_IDS = ["variant", "id", "output_sha256"]
# Encoded images in memory at once: 256 of 15 kB are 4 MB.
_BATCH_IMAGES = 256

# Yields index rows in order, with the columns asked for; may be called several times.
RowSource = Callable[[list[str]], Iterator[pa.Table]]


@dataclass(frozen=True, slots=True)
class Grouped:
    """The plain images of some rows in their order, and their groups; ``hashed`` of them had no perceptual hash yet."""

    images: Images
    groups: Groups
    hashed: int

    def names_of(self, images: NDArray[np.int64]) -> pa.Array:
        """Return the names of the groups of some images, null for one alone."""
        ids = self.groups.groups[images].tobytes()
        # With the zeros at their ends that numpy leaves out.
        names = [ids[first : first + 16].hex() for first in range(0, len(ids), 16)]
        return pa.array(names, pa.string(), mask=~self.groups.grouped[images])


def group_rows(store: Store, recipe_id: str, rows: RowSource, distance_bits: int) -> Grouped:
    """Return the groups of the plain images of some index rows.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    hashed, images = _hashed_images(store, recipe_id, rows)
    before = read_neighbours(store, METHOD, distance_bits)
    hashes = different_hashes(images.hashes[images.has_hash])
    neighbours = follow_hashes(before, hashes, distance_bits)
    # It is true of these hashes whatever becomes of the groups: a run that is killed here has saved the search.
    if not np.array_equal(before.hashes, hashes):
        write_neighbours(store, METHOD, distance_bits, neighbours)
    return Grouped(images, group_images(images, neighbours), hashed)


def rows_of_index(store: Store, number: int) -> RowSource:
    """Return the rows of an index as a source of rows."""
    return lambda columns: iter_index(store, number, columns=columns)


def image_of_row(variants: NDArray[np.int32], done: int) -> NDArray[np.int64]:
    """Return which image each row is of, counted from 0; an image's rows follow its plain one.

    Args:
        done: how many images there were before.
    """
    numbers: NDArray[np.int64] = done - 1 + np.cumsum(variants == 0)
    return numbers


def _hashed_images(store: Store, recipe_id: str, rows: RowSource) -> tuple[int, Images]:
    """Return how many images had to be hashed, and all plain ones with their hashes."""
    ids, contents = [np.empty(0, "S16")], [packed_hashes([])]
    for piece in _plain_rows(rows, _IDS):
        ids.append(np.frombuffer(bytes.fromhex("".join(piece["id"].to_pylist())), "S16"))
        contents.append(packed_hashes(piece["output_sha256"].to_pylist()))
    every = np.concatenate(contents)
    kept = read_hashes(store, METHOD)
    places, found = kept.find(every)
    missing = np.unique(every[~found])
    if len(missing):
        _hash_missing(store, recipe_id, rows, missing)
        kept = read_hashes(store, METHOD)
        places, _ = kept.find(every)
    return len(missing), Images(np.concatenate(ids), places, kept.hashes[places], kept.has_hash[places])


def _plain_rows(rows: RowSource, columns: list[str]) -> Iterator[pa.Table]:
    for piece in rows(columns):
        yield piece.filter(pc.equal(piece["variant"], 0))


def _hash_missing(store: Store, recipe_id: str, rows: RowSource, missing: NDArray[np.bytes_]) -> None:
    """Hash the images of some contents, keeping each chunk as soon as it is full: a killed run redoes less than one."""
    with StoredImages(store, recipe_id) as images, ThreadPoolExecutor() as threads:
        for piece in cut_tables(_first_rows(rows, missing), CHUNK_ROWS):
            # In the order they are stored in, so that each piece of a segment is read once.
            ordered = piece.sort_by([("segment", "ascending"), ("row", "ascending")])
            hashes: list[int | None] = []
            for first in range(0, ordered.num_rows, _BATCH_IMAGES):
                batch = ordered.slice(first, _BATCH_IMAGES)
                segments = batch["segment"].to_pylist()
                encoded = [images.encoded(*place) for place in zip(segments, batch["row"].to_pylist(), strict=True)]
                paths = [layout.segment(recipe_id, segment) for segment in segments]
                hashes += threads.map(_hash_encoded, paths, encoded)
            write_hashes(store, METHOD, ordered["output_sha256"].to_pylist(), hashes)


def _first_rows(rows: RowSource, missing: NDArray[np.bytes_]) -> Iterator[pa.Table]:
    """Yield one row of each content that is missing."""
    wanted = KeptHashes(missing, np.empty(0, np.uint64), np.ones(len(missing), bool))
    left = np.ones(len(missing), bool)
    for piece in _plain_rows(rows, _PLACES):
        places, is_missing = wanted.find(packed_hashes(piece["output_sha256"].to_pylist()))
        asked = np.flatnonzero(is_missing & left[places])
        firsts = asked[np.unique(places[asked], return_index=True)[1]]
        left[places[firsts]] = False
        yield piece.take(pa.array(np.sort(firsts)))


def _hash_encoded(path: str, data: bytes) -> int | None:
    with naming_damage(path):
        return hash_pixels(decoded_pixels(data))
