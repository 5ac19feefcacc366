"""Stored images back as pixels."""

import io
from collections import OrderedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from image_assets.storage.segments import SegmentReader
from image_assets.storage.store import Store


def stored_pixels(store: Store, recipe_id: str, rows: pa.Table) -> NDArray[np.uint8]:
    """Return the images of some index rows, shape (rows, height, width, channels); the rows must not be empty.

    Raises:
        StoreError: a segment is damaged or gone.
    """
    with StoredImages(store, recipe_id) as images:
        places = zip(rows["segment"].to_pylist(), rows["row"].to_pylist(), strict=True)
        return np.stack([images.pixels(segment, row) for segment, row in places])


def decoded_pixels(data: bytes) -> NDArray[np.uint8]:
    """Return one stored image, given its encoded bytes: uint8 of shape (height, width, channels)."""
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
        pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


class StoredImages:
    """Random access to stored images; keeps a few segments open, one row group of each in memory."""

    def __init__(self, store: Store, recipe_id: str, *, open_segments: int = 8) -> None:
        self._store = store
        self._recipe_id = recipe_id
        self._limit = open_segments
        self._readers: OrderedDict[str, SegmentReader] = OrderedDict()

    def encoded(self, segment: str, row: int) -> bytes:
        """Return one image's encoded bytes.

        Raises:
            StoreError: the segment is damaged or gone.
        """
        if segment not in self._readers:
            self._readers[segment] = SegmentReader(self._store, self._recipe_id, segment)
            if len(self._readers) > self._limit:
                self._readers.popitem(last=False)[1].close()
        self._readers.move_to_end(segment)
        return self._readers[segment].image(row)

    def pixels(self, segment: str, row: int) -> NDArray[np.uint8]:
        """Return one image, uint8 of shape (height, width, channels).

        Raises:
            StoreError: the segment is damaged or gone.
        """
        return decoded_pixels(self.encoded(segment, row))

    def close(self) -> None:
        """Close every open segment."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def __enter__(self) -> "StoredImages":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
