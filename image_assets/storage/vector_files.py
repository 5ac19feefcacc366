"""The aligned vectors once more, as files that NumPy and HDF5 open as they are."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from image_assets.core.errors import StoreError
from image_assets.storage import layout
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import naming_damage
from image_assets.storage.vectors import VectorHead, iter_vectors, read_vector_head, vectors_of

# Another run may put other vectors in the place while these are copied.
_PASSES = 5


def follow_vectors(store: Store, wanted: Sequence[str]) -> tuple[str, ...]:
    """Bring the further files of vectors in line with the aligned one, and return the paths of those written.

    What the files are of stands in a record beside them, which is there only while it is true. Files that are not
    wanted are removed.

    Args:
        wanted: of ``numpy`` and ``hdf5``.

    Raises:
        StoreError: there are no vectors, they are damaged, or a file cannot be written.
    """
    names = sorted(set(wanted))
    if not names and not store.exists(layout.VECTOR_FILES_RECORD):
        return ()
    for _ in range(_PASSES):
        head = read_vector_head(store)
        if head is None:
            raise StoreError(f"there is no {layout.FEATURE_VECTORS} in {store.url} to make other files of")
        record = {**asdict(head), "files": [_WRITERS[name][0] for name in names]}
        if _read_record(store) == record and all(map(store.exists, record["files"])):
            return ()
        # Gone first: at no time does it say of a file what is not so.
        store.delete(layout.VECTOR_FILES_RECORD)
        for name, (path, write) in _WRITERS.items():
            if name in names:
                with scratch_folder() as folder:
                    write(store, head, folder / "vectors")
                    store.put(path, folder / "vectors")
            else:
                store.delete(path)
        if read_vector_head(store) == head:
            if names:
                store.put(layout.VECTOR_FILES_RECORD, json.dumps(record, sort_keys=True).encode())
            return tuple(record["files"])
    raise StoreError(f"other runs keep writing vectors to {store.url}; run again when they have ended")


def _read_record(store: Store) -> dict[str, Any] | None:
    if not store.exists(layout.VECTOR_FILES_RECORD):
        return None
    with naming_damage(layout.VECTOR_FILES_RECORD):
        content: dict[str, Any] = json.loads(store.get(layout.VECTOR_FILES_RECORD).to_pybytes())
        return content


def _write_numpy(store: Store, head: VectorHead, target: Path) -> None:
    """Write shape (rows, dim), so that ``numpy.load(mmap_mode="r")`` maps it; a piece is in memory at a time."""
    dtype = np.dtype(head.dtype).newbyteorder("<")
    header = {"descr": dtype.str, "fortran_order": False, "shape": (head.rows, head.dim)}
    with target.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in iter_vectors(store):
            file.write(np.ascontiguousarray(vectors_of(piece), dtype).data)


def _write_hdf5(store: Store, head: VectorHead, target: Path) -> None:
    """Write ``vectors`` (rows, dim) and ``ids`` (rows,), with what they are of as attributes."""
    import h5py

    with h5py.File(target, "w") as file:
        file.attrs.update(asdict(head))
        vectors = file.create_dataset("vectors", (head.rows, head.dim), head.dtype, track_times=False)
        ids = file.create_dataset("ids", (head.rows,), "S32", track_times=False)
        first = 0
        for piece in iter_vectors(store):
            rows = slice(first, first := first + piece.num_rows)
            vectors[rows] = vectors_of(piece)
            ids[rows] = np.array(piece["id"].to_pylist(), "S32")


_WRITERS = {
    "numpy": (layout.VECTORS_NUMPY, _write_numpy),
    "hdf5": (layout.VECTORS_HDF5, _write_hdf5),
}
