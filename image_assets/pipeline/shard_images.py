"""The images of some shards: what is live of their commits, read in batches."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError, DatasetError, StoreError
from image_assets.core.index import INDEX_SCHEMA, index_rows, manifest_columns
from image_assets.core.manifest import ManifestHead
from image_assets.pipeline.pixels import StoredImages
from image_assets.storage.manifests import latest_heads, read_manifest, read_manifest_head
from image_assets.storage.store import Store
from image_assets.storage.table_files import BATCH_ROWS

_PLACE = ("segment", "row")


def open_shards(store: Store, commits: Mapping[str, int | None]) -> "ShardImages":
    """Return the live images of some shards.

    Args:
        commits: which commit of each; None: its last.

    Raises:
        DatasetError: a shard has no such commit.
        StoreError: the store does not answer or a manifest is damaged.
    """
    unknown = [shard for shard, number in commits.items() if number is None]
    last = latest_heads(store, unknown) if unknown else {}
    heads = []
    for shard, number in commits.items():
        if number is None and shard not in last:
            raise DatasetError(f"shard {shard} in {store.url} has no commit; materialize it first")
        heads.append(last[shard] if number is None else _head(store, shard, number))
    return ShardImages(store, heads)


class ShardImages:
    """Live images of some shards as their commits say, read-only; what is committed later does not change it.

    Rows have the columns of the index; ``group`` and ``split`` are null, which only the index knows.
    """

    def __init__(self, store: Store, heads: Sequence[ManifestHead]) -> None:
        self.heads = tuple(heads)
        self._store = store
        self._images: dict[str, StoredImages] = {}

    @property
    def schema(self) -> pa.Schema:
        """The columns of the index."""
        return INDEX_SCHEMA

    @property
    def batch_rows(self) -> int:
        """How many rows are a few megabytes."""
        return BATCH_ROWS

    @property
    def num_rows(self) -> int:
        """How many output images there are; the manifests are read for it once."""
        return self._num_rows

    def __len__(self) -> int:
        return self._num_rows

    def batches(self, columns: Sequence[str], span: tuple[int, int] | None = None) -> Iterator[pa.Table]:
        """Yield some columns of the rows, or of a half-open range of them, one shard in memory at a time.

        Raises:
            DatasetError: there is no such column.
            StoreError: a manifest is damaged or gone.
        """
        if unknown := [name for name in columns if name not in INDEX_SCHEMA.names]:
            raise DatasetError(f"no column {unknown[0]!r}; there are {', '.join(INDEX_SCHEMA.names)}")
        at = 0
        for head in self.heads:
            rows = self._rows(head, columns)
            first, end = (0, rows.num_rows) if span is None else (span[0] - at, span[1] - at)
            at += rows.num_rows
            rows = rows.slice(max(first, 0), max(end - max(first, 0), 0))
            for start in range(0, rows.num_rows, BATCH_ROWS):
                yield rows.slice(start, BATCH_ROWS)

    def image_batches(
        self, batch_size: int = 32, columns: Sequence[str] = ("id", "key", "label")
    ) -> Iterator[tuple[pa.Table, list[NDArray[np.uint8]]]]:
        """Yield rows and their images, each uint8 of shape (height, width, channels).

        Raises:
            ConfigError: the batch size is wrong.
            DatasetError: there is no such column.
            StoreError: a manifest or a segment is damaged or gone.
        """
        if batch_size < 1:
            raise ConfigError(f"a batch of {batch_size} images is not possible; give 1 or more")
        for head in self.heads:
            images = self._images.setdefault(head.recipe_id, StoredImages(self._store, head.recipe_id))
            rows = self._rows(head, list(dict.fromkeys([*columns, *_PLACE])))
            for start in range(0, rows.num_rows, batch_size):
                batch = rows.slice(start, batch_size)
                places = zip(batch["segment"].to_pylist(), batch["row"].to_pylist(), strict=True)
                yield batch.select(columns), [images.pixels(*place).copy() for place in places]

    def dataset(self) -> ds.Dataset:
        """Return the rows as a dataset of pyarrow; they are held in memory.

        Raises:
            StoreError: a manifest is damaged or gone.
        """
        pieces = list(self.batches(INDEX_SCHEMA.names))
        return ds.dataset(pa.concat_tables([INDEX_SCHEMA.empty_table(), *pieces]))

    def close(self) -> None:
        """Close the files; reading again opens them again."""
        for images in self._images.values():
            images.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @cached_property
    def _num_rows(self) -> int:
        return sum(self._rows(head, ["id"]).num_rows for head in self.heads)

    def _rows(self, head: ManifestHead, columns: Sequence[str]) -> pa.Table:
        stored = [name for name in INDEX_SCHEMA.names if name in columns]
        manifest = read_manifest(self._store, head.shard, head.number, manifest_columns(stored))
        return index_rows(manifest.rows, stored).select(columns)


def _head(store: Store, shard: str, number: int) -> ManifestHead:
    try:
        return read_manifest_head(store, shard, number)
    except StoreError as error:
        raise DatasetError(
            f"commit {number} of shard {shard} is not there any more ({error}); materialize the shard again"
        ) from error
