"""Perceptual hashes: chunks as they are computed, which are near which, and a file of groups that follows the index."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.core.errors import StoreError
from image_assets.core.hashes import packed_hashes
from image_assets.core.heads import FORMAT_VERSION, HEAD_KEY, seal, unseal
from image_assets.core.neighbours import NO_NEIGHBOUR, Neighbours, no_neighbours
from image_assets.storage import layout
from image_assets.storage.chunks import chunk_paths, keep_chunk
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import iter_tables, naming_damage, open_parquet, parse_head, read_head, read_table

# A killed run hashes at most so many images again: some seconds of work.
CHUNK_ROWS = 8192
_PIECE_ROWS = 4096
_HASHES_A_PIECE = 8_192
_CHECKED = {"write_page_checksum": True}
_NEIGHBOURS_SCHEMA = pa.schema(
    [
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("root", pa.uint64()),
        pa.field("nearest_bits", pa.uint8()),
    ]
)
DUPLICATES_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("group", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("distance_bits", pa.uint8()),
    ]
)


@dataclass(frozen=True, slots=True)
class DuplicatesHead:
    """What the file of duplicates says of itself: whose rows it follows, and how what is alike was told.

    Of all ``images``, ``exact`` ones have the bytes of another, ``near`` ones are only close to one, and ``flat`` ones
    have nothing to be told by but their bytes.
    """

    method: str
    distance_bits: int
    index_number: int
    index_digest: str
    rows: int
    images: int
    groups: int
    exact: int
    near: int
    flat: int
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class KeptHashes:
    """The perceptual hashes that are kept, by content (S32, sorted); where ``has_hash`` is false the image has none."""

    contents: NDArray[np.bytes_]
    hashes: NDArray[np.uint64]
    has_hash: NDArray[np.bool_]

    def find(self, contents: NDArray[np.bytes_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return where some contents are, and whether they are there at all."""
        if not len(self.contents):
            return np.zeros(len(contents), np.int64), np.zeros(len(contents), bool)
        places = np.searchsorted(self.contents, contents).clip(max=len(self.contents) - 1)
        return places, self.contents[places] == contents


def write_hashes(store: Store, method: str, contents: Sequence[str], hashes: Sequence[int | None]) -> None:
    """Keep the perceptual hashes of some output images.

    Raises:
        StoreError: they cannot be written.
    """
    columns = {"output_sha256": pa.array(contents, pa.string()), "hash": pa.array(hashes, pa.uint64())}
    keep_chunk(store, layout.perceptual_chunks_of(method), pa.table(columns))


def read_hashes(store: Store, method: str) -> KeptHashes:
    """Return all perceptual hashes that are kept: 41 bytes each in memory.

    Raises:
        StoreError: a chunk is damaged.
    """
    pieces = [(packed_hashes([]), np.empty(0, np.uint64), np.empty(0, bool))]
    for path in chunk_paths(store, layout.perceptual_chunks_of(method)):
        table = read_table(store, path, ["output_sha256", "hash"])[1]
        with naming_damage(path):
            hashes = table["hash"].fill_null(0).to_numpy().astype(np.uint64, casting="safe")
            pieces.append(
                (packed_hashes(table["output_sha256"].to_pylist()), hashes, table["hash"].is_valid().to_numpy())
            )
    every, hashes, has_hash = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    pieces.clear()
    order = np.argsort(every)
    every = every[order]
    # Two runs at once may have kept the same.
    first = np.append(True, every[1:] != every[:-1])[: len(every)]
    return KeptHashes(every if first.all() else every[first], hashes[order[first]], has_hash[order[first]])


def read_neighbours(store: Store, method: str, distance_bits: int) -> Neighbours:
    """Return which hashes are near which as it was last found out; none when that was with another distance.

    Raises:
        StoreError: the file is damaged or from a newer version.
    """
    path, none = layout.NEIGHBOURS, no_neighbours()
    if not store.exists(path):
        return none
    # Opened once: another run may put its own in this place at any time.
    with store.open(path) as file, open_parquet(path, file, _NEIGHBOURS_SCHEMA.names) as parquet, naming_damage(path):
        head = unseal(parquet.schema_arrow.metadata[HEAD_KEY], path)
        if (head["method"], head["distance_bits"]) != (method, distance_bits):
            return none
        found = Neighbours(*(np.empty(head["hashes"], array.dtype) for array in astuple(none)))
        first = 0
        # Piece by piece into its place, so that nothing of that size is in memory beside it.
        for piece in parquet.iter_batches(batch_size=_HASHES_A_PIECE):
            rows = slice(first, first := first + piece.num_rows)
            found.hashes[rows] = piece["hash"].to_numpy(zero_copy_only=False)
            found.roots[rows] = pc.coalesce(piece["root"], piece["hash"]).to_numpy(zero_copy_only=False)
            found.nearest[rows] = piece["nearest_bits"].fill_null(NO_NEIGHBOUR).to_numpy(zero_copy_only=False)
        if first != len(found.hashes):
            raise StoreError(f"{path} is damaged: it has {first} rows, not {len(found.hashes)}; delete it")
    return found


def write_neighbours(store: Store, method: str, distance_bits: int, neighbours: Neighbours) -> None:
    """Replace what is known of which hashes are near which.

    Raises:
        StoreError: it cannot be written.
    """
    about = {"method": method, "distance_bits": distance_bits, "hashes": len(neighbours.hashes)}
    head = seal({**about, "format_version": FORMAT_VERSION})
    schema = _NEIGHBOURS_SCHEMA.with_metadata({HEAD_KEY: head})
    with scratch_folder() as folder:
        path = folder / "neighbours.parquet"
        # No hash is there twice, so that a dictionary would only cost time.
        with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, **_CHECKED) as writer:
            for first in range(0, len(neighbours.hashes), _HASHES_A_PIECE):
                writer.write_table(_neighbour_rows(neighbours, slice(first, first + _HASHES_A_PIECE)).cast(schema))
        store.put(layout.NEIGHBOURS, path)


def _neighbour_rows(neighbours: Neighbours, rows: slice) -> pa.Table:
    hashes, roots, nearest = neighbours.hashes[rows], neighbours.roots[rows], neighbours.nearest[rows]
    columns = {
        "hash": pa.array(hashes),
        "root": pa.array(roots, mask=roots == hashes),
        "nearest_bits": pa.array(nearest, mask=nearest == NO_NEIGHBOUR),
    }
    return pa.table(columns)


def read_duplicates_head(store: Store) -> DuplicatesHead | None:
    """Return the head of the file of duplicates, or None when there is none yet.

    Raises:
        StoreError: it is damaged or from a newer version.
    """
    if not store.exists(layout.DUPLICATES):
        return None
    text = read_head(store, layout.DUPLICATES)
    return parse_head(layout.DUPLICATES, text, lambda content: DuplicatesHead(**unseal(content, layout.DUPLICATES)))


def iter_duplicates(store: Store) -> Iterator[pa.Table]:
    """Yield the rows of the file of duplicates (id, group, kind, distance_bits), a piece at a time.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    return iter_tables(store, layout.DUPLICATES, batch_rows=_PIECE_ROWS)


@contextmanager
def staged_duplicates(head: DuplicatesHead, pieces: Iterable[pa.Table]) -> Iterator[Path]:
    """Write a file of duplicates to a temporary place, one piece in memory at a time."""
    schema = DUPLICATES_SCHEMA.with_metadata({HEAD_KEY: seal(asdict(head))})
    with scratch_folder() as folder:
        path = folder / "duplicates.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd", **_CHECKED) as writer:
            for piece in pieces:
                writer.write_table(piece.cast(schema))
        yield path


def publish_duplicates(store: Store, staged: Path) -> None:
    """Replace the file of duplicates by a staged one.

    Raises:
        StoreError: it cannot be written.
    """
    store.put(layout.DUPLICATES, staged)
