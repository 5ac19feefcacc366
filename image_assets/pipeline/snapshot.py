"""One snapshot of a store: its rows and its images, one at a time or in batches."""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.errors import DatasetError
from image_assets.core.index import FRAME, INDEX_SCHEMA, IndexHead, select_columns
from image_assets.pipeline.pixels import StoredImages
from image_assets.pipeline.random_access import PIECE_ROWS, MappedRows
from image_assets.storage.indexes import iter_index
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables

# Where an image lies.
PLACE = ("segment", "row")


class Snapshot:
    """The rows and the images of one snapshot, read-only; what is published later does not change it."""

    def __init__(self, store: Store, head: IndexHead) -> None:
        self.head = head
        self._store = store
        self._rows = MappedRows(store, head.number)
        self._images = StoredImages(store, head.recipe_id)

    @property
    def digest(self) -> str:
        """The dataset's digest: equal digests mean equal datasets."""
        return self.head.digest

    @property
    def url(self) -> str:
        """The folder or the URL of the store."""
        return self._store.url

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the index's columns, and ``frame`` when all frames of the images are in it."""
        return (*INDEX_SCHEMA.names, *([FRAME.name] if self.has_frames else []))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images, (0, 0, 0) when there are none."""
        if not self.head.rows:
            return (0, 0, 0)
        height, width, channels = self.image(0).shape
        return (height, width, channels)

    @property
    def has_frames(self) -> bool:
        """Whether all frames of the images are there (``image.frames: all``)."""
        return self.head.outputs_a_frame > 0

    @property
    def has_variants(self) -> bool:
        """Whether any image has several rows: augmented variants, or frames."""
        return any(pc.max(rows["variant"]).as_py() > 0 for rows in self.row_batches(PIECE_ROWS, ["variant"]))

    @property
    def has_extra(self) -> bool:
        """Whether any image has extra columns of its source."""
        return any(rows["extra"].null_count < rows.num_rows for rows in self.row_batches(PIECE_ROWS, ["extra"]))

    def __len__(self) -> int:
        return self.head.rows

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return a row's columns, and its pixels as ``image``: uint8 of shape (height, width, channels).

        Raises:
            IndexError: there is no such row; -1 is the last.
            StoreError: the index or a segment is damaged or gone.
        """
        values = self.values(row, self.columns)
        return {**values, "image": self._images.pixels(values["segment"], values["row"]).copy()}

    def values(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """Return some columns of a row, without pixels.

        Raises:
            IndexError: there is no such row; -1 is the last.
            DatasetError: there is no such column.
            StoreError: the index is damaged.
        """
        names = self._known(columns)
        stored = list(dict.fromkeys("variant" if name == FRAME.name else name for name in names))
        values = self._rows.read(self._position(row), stored)
        if FRAME.name in names:
            values[FRAME.name] = values["variant"] // self.head.outputs_a_frame
        return {name: values[name] for name in names}

    def image(self, row: int) -> NDArray[np.uint8]:
        """Return a row's pixels, uint8 of shape (height, width, channels).

        Raises:
            IndexError: there is no such row; -1 is the last.
            StoreError: the index or a segment is damaged or gone.
        """
        return self._images.pixels(**self.values(row, PLACE)).copy()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows as an Arrow table, with the columns asked for or all; it is held in memory.

        Raises:
            DatasetError: there is no such column.
            StoreError: the index is damaged.
        """
        names = self._known(columns)
        schema = pa.schema([FRAME if name == FRAME.name else INDEX_SCHEMA.field(name) for name in names])
        pieces = self._pieces(PIECE_ROWS, names)
        return pa.concat_tables([schema.empty_table(), *(piece.cast(schema) for piece in pieces)])

    def row_batches(
        self, batch_size: int, columns: Sequence[str] | None = None, *, buckets: tuple[int, int] | None = None
    ) -> Iterator[pa.Table]:
        """Yield all rows in order, ``batch_size`` together and the rest last, without pixels.

        Args:
            buckets: those of these buckets alone, from the first up to and not including the second.

        Raises:
            DatasetError: there is no such column.
            StoreError: the index is damaged.
        """
        return cut_tables(self._pieces(max(batch_size, PIECE_ROWS), self._known(columns), buckets), batch_size)

    def images(self, rows: pa.Table) -> NDArray[np.uint8]:
        """Return the pixels of index rows (segment, row), shape (rows, height, width, channels).

        Raises:
            DatasetError: they are not all of one shape.
            StoreError: a segment is damaged or gone.
        """
        places = list(zip(rows["segment"].to_pylist(), rows["row"].to_pylist(), strict=True))
        pixels: NDArray[np.uint8] | None = None
        # In the order they are stored in, so that each piece of a segment is read once.
        for position in sorted(range(len(places)), key=places.__getitem__):
            image = self._images.pixels(*places[position])
            if pixels is None:
                pixels = np.empty((len(places), *image.shape), np.uint8)
            if image.shape != pixels.shape[1:]:
                where = f"row {places[position][1]} of segment {places[position][0]}"
                raise DatasetError(f"images differ in shape: {image.shape} in {where}, {pixels.shape[1:]} before it")
            pixels[position] = image
        return pixels if pixels is not None else np.empty((0, *self.image_shape), np.uint8)

    def encoded(self, rows: pa.Table) -> list[bytes]:
        """Return the images of index rows (segment, row) encoded as they are stored, in the order of the rows.

        Raises:
            StoreError: a segment is damaged or gone.
        """
        places = list(zip(rows["segment"].to_pylist(), rows["row"].to_pylist(), strict=True))
        found = {place: self._images.encoded(*place) for place in sorted(places)}
        return [found[place] for place in places]

    def reopened(self) -> Self:
        """Return the same snapshot with files of its own, for a process that was forked: the store is asked nothing."""
        other = copy(self)
        other._rows = MappedRows(self._store, self.head.number)
        other._images = StoredImages(self._store, self.head.recipe_id)
        return other

    def close(self) -> None:
        """Close the files and forget what is mapped; reading again opens them again."""
        self._images.close()
        self._rows = MappedRows(self._store, self.head.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _pieces(self, piece_rows: int, names: list[str], buckets: tuple[int, int] | None = None) -> Iterator[pa.Table]:
        stored = list(dict.fromkeys("variant" if name == FRAME.name else name for name in [*names, "bucket"]))
        for piece in iter_index(self._store, self.head.number, batch_rows=piece_rows, columns=stored, buckets=buckets):
            yield select_columns(piece, names, self.head.outputs_a_frame)

    def _position(self, row: int) -> int:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a dataset of {len(self)} rows")
        return row % len(self)

    def _known(self, columns: Sequence[str] | None) -> list[str]:
        names = list(self.columns if columns is None else columns)
        if unknown := [name for name in names if name not in self.columns]:
            raise DatasetError(f"no column {', '.join(map(repr, unknown))}; there are {', '.join(self.columns)}")
        return names
