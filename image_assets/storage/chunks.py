"""Chunks: what was computed of some output images, a row each, in immutable files named by their own bytes."""

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.heads import FORMAT_VERSION, seal
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets.storage.tables import read_table, to_parquet


def keep_chunk(store: Store, folder: str, rows: pa.Table) -> str:
    """Keep rows, which have a column ``output_sha256``, and return the path of their chunk.

    Raises:
        StoreError: it cannot be written.
    """
    data = to_parquet(rows, seal({"format_version": FORMAT_VERSION}))
    path = layout.chunk(folder, hashlib.sha256(data).hexdigest())
    store.put_if_absent(path, data)
    return path


def chunk_paths(store: Store, folder: str) -> list[str]:
    """Return the paths of the chunks in a folder, sorted.

    Raises:
        StoreError: the store does not answer.
    """
    return sorted(file.path for file in store.list(folder) if layout.content_name_of(file.path))


def read_chunk_hashes(store: Store, path: str) -> list[str]:
    """Return the output images' hashes of a chunk, in row order.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    hashes: list[str] = read_table(store, path, ["output_sha256"])[1]["output_sha256"].to_pylist()
    return hashes


def shrink_chunk(store: Store, path: str, mask: NDArray[np.bool_]) -> str:
    """Write the rows of a chunk that ``mask`` names, one value a row, as a chunk beside it, and return its path.

    Raises:
        StoreError: the chunk is damaged, or the other cannot be written.
    """
    rows = read_table(store, path)[1].filter(pa.array(mask)).combine_chunks()
    return keep_chunk(store, layout.folder_of(path), rows)
