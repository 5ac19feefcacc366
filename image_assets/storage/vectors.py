"""Feature vectors: immutable chunks as they are computed, and one file aligned with the newest index."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.core.errors import StoreError
from image_assets.core.heads import FORMAT_VERSION, HEAD_KEY, seal, unseal
from image_assets.storage import layout
from image_assets.storage.chunks import chunk_paths, keep_chunk, read_chunk_hashes
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import iter_tables, parse_head, read_head, read_table

# float32, or float16 where the settings say so: an array has the type that its file has.
Vectors = NDArray[np.floating[Any]]
# A chunk in memory is 5 MB at 1280 dimensions.
CHUNK_ROWS = 1024
_OPEN_CHUNKS = 8


@dataclass(frozen=True, slots=True)
class VectorHead:
    """What the aligned vector file says of itself: whose vectors, and which index its rows follow."""

    extractor: str
    extractor_digest: str
    dim: int
    index_number: int
    index_digest: str
    rows: int
    format_version: int = FORMAT_VERSION
    dtype: str = "float32"


def read_vector_head(store: Store) -> VectorHead | None:
    """Return the head of the aligned file, or None when there is none yet.

    Raises:
        StoreError: it is damaged or from a newer version.
    """
    if not store.exists(layout.FEATURE_VECTORS):
        return None
    return parse_head(layout.FEATURE_VECTORS, read_head(store, layout.FEATURE_VECTORS), _head_from_json)


def iter_vectors(store: Store, *, batch_rows: int = CHUNK_ROWS) -> Iterator[pa.Table]:
    """Yield the aligned file's rows (id, output_sha256, vector) a piece at a time.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    return iter_tables(store, layout.FEATURE_VECTORS, batch_rows=batch_rows)


def write_chunk(store: Store, extractor_digest: str, hashes: Sequence[str], vectors: Vectors) -> str:
    """Keep the vectors of some output images, shape (len(hashes), dim), and return the path of their chunk.

    Args:
        extractor_digest: of the extractor and the type of the numbers.

    Raises:
        StoreError: it cannot be written.
    """
    table = pa.table({"output_sha256": pa.array(hashes, pa.string()), "vector": _column(vectors)})
    return keep_chunk(store, layout.vector_chunks_of(extractor_digest), table)


class VectorChunks:
    """Lookup of kept vectors by the output image's hash; holds 40 bytes a vector and a few chunks."""

    def __init__(self, store: Store, extractor_digest: str) -> None:
        """Read which vectors there are.

        Raises:
            StoreError: a chunk is damaged.
        """
        self._store = store
        self._paths = chunk_paths(store, layout.vector_chunks_of(extractor_digest))
        self._open: OrderedDict[int, Vectors] = OrderedDict()
        self._places: dict[bytes, tuple[int, int]] = {}
        for chunk, path in enumerate(self._paths):
            for row, sha256 in enumerate(read_chunk_hashes(store, path)):
                self._places[bytes.fromhex(sha256)] = (chunk, row)

    def __contains__(self, output_sha256: str) -> bool:
        return bytes.fromhex(output_sha256) in self._places

    def gather(self, hashes: Sequence[str], dim: int, dtype: str = "float32") -> Vectors:
        """Return the vectors of output images that are all kept, shape (len(hashes), dim).

        Raises:
            StoreError: a chunk is damaged or gone.
        """
        vectors = np.empty((len(hashes), dim), dtype)
        places = [self._places[bytes.fromhex(sha256)] for sha256 in hashes]
        # Chunk by chunk, so that each is opened once however the rows are mixed.
        for position in sorted(range(len(places)), key=places.__getitem__):
            chunk, row = places[position]
            vectors[position] = self._chunk(chunk)[row]
        return vectors

    def _chunk(self, chunk: int) -> Vectors:
        if chunk not in self._open:
            _, table = read_table(self._store, self._paths[chunk], ["vector"])
            if not pa.types.is_fixed_size_list(table["vector"].type):
                raise StoreError(f"{self._paths[chunk]} is damaged: its vectors have type {table['vector'].type}")
            self._open[chunk] = vectors_of(table)
            if len(self._open) > _OPEN_CHUNKS:
                self._open.popitem(last=False)
        self._open.move_to_end(chunk)
        return self._open[chunk]


@contextmanager
def staged_vectors(head: VectorHead, pieces: Iterable[tuple[pa.Table, Vectors]]) -> Iterator[Path]:
    """Write an aligned file to a temporary place, one piece in memory at a time, to be judged before publication.

    Args:
        pieces: index rows (id, output_sha256) and their vectors.
    """
    numbers = pa.list_(pa.from_numpy_dtype(head.dtype), head.dim)
    fields = [("id", pa.string()), ("output_sha256", pa.string()), ("vector", numbers)]
    schema = pa.schema(fields).with_metadata({HEAD_KEY: seal(asdict(head))})
    # Floats of an embedding do not compress, and a dictionary of them would only cost memory.
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    with scratch_folder() as folder:
        path = folder / "vectors.parquet"
        with pq.ParquetWriter(path, schema, **options) as writer:
            for rows, vectors in pieces:
                columns = [rows["id"], rows["output_sha256"], _column(vectors)]
                writer.write_table(pa.table(columns, schema=schema), row_group_size=CHUNK_ROWS)
        yield path


def publish_vectors(store: Store, staged: Path) -> None:
    """Replace the aligned file by a staged one.

    Raises:
        StoreError: it cannot be written.
    """
    store.put(layout.FEATURE_VECTORS, staged)


def vectors_of(table: pa.Table) -> Vectors:
    """Return a vector column as an array, shape (rows, dim), in the type that it is stored in."""
    column = table["vector"].combine_chunks()
    dim = column.type.list_size
    values: Vectors = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), dim)


def _head_from_json(text: bytes) -> VectorHead:
    return VectorHead(**unseal(text, layout.FEATURE_VECTORS))


def _column(vectors: Vectors) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
