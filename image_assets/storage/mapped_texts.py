"""Texts by their number, in a temporary file that is mapped: as many as there are images, and not held in memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.errors import StoreError
from image_assets.storage.scratch import scratch_folder

_SCHEMA = pa.schema([pa.field("text", pa.string())])


class MappedTexts:
    """Texts that were written down, for random access."""

    def __init__(self, batches: list[pa.RecordBatch]) -> None:
        self._texts = [batch["text"] for batch in batches]
        self._ends = np.cumsum([len(batch) for batch in batches], dtype=np.int64)

    def take(self, numbers: NDArray[np.int64]) -> pa.Array:
        """Return the texts of some numbers, in their order."""
        # Piece by piece: pyarrow itself would first copy all of them together.
        pieces = np.searchsorted(self._ends, numbers, side="right")
        order = np.argsort(pieces, kind="stable")
        found = [pa.array([], pa.string())]
        for piece in np.unique(pieces).tolist():
            here = numbers[order[np.searchsorted(pieces[order], piece) : np.searchsorted(pieces[order], piece + 1)]]
            found.append(self._texts[piece].take(pa.array(here - (self._ends[piece] - len(self._texts[piece])))))
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(found).take(pa.array(back))


class TextWriter:
    """Writes texts down, one after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, _SCHEMA)

    def add(self, texts: pa.ChunkedArray) -> None:
        """Write more texts down."""
        self._writer.write_table(pa.table({"text": texts}, schema=_SCHEMA))

    def whole(self) -> MappedTexts:
        """Return what was written, when nothing is to come any more; it outlives the file's name."""
        self.close()
        return MappedTexts(pa.ipc.open_file(pa.memory_map(str(self._path))).read_all().to_batches())

    def close(self) -> None:
        """Close the file."""
        if not self._file.closed:
            self._writer.close()
            self._file.close()


@contextmanager
def mapped_texts() -> Iterator[TextWriter]:
    """Yield what writes texts into a temporary file.

    Raises:
        StoreError: there is no room for it.
    """
    try:
        with scratch_folder() as folder:
            writer = TextWriter(folder / "texts.arrow")
            try:
                yield writer
            finally:
                writer.close()
    except OSError as error:
        raise StoreError(f"no room for a temporary file in {tempfile.gettempdir()}: {error}") from error
