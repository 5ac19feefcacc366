"""A published table as other processes open it: by its name, a range of rows at a time; and as a frame of Dask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from image_assets.core.errors import DatasetError
from image_assets.pipeline.published_tables import PublishedTable, open_table
from image_assets.pipeline.shard_images import open_shards
from image_assets.storage.indexes import read_index_head
from image_assets.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

# Of the rows of an index a part is 20 MB, of vectors of 1280 numbers 80 MB.
_BATCHES_A_PART = 16


@dataclass(frozen=True, slots=True)
class PinnedTable:
    """The table of an asset for one snapshot, or of some commits of shards; pickled it is these words."""

    url: str
    name: str
    number: int
    digest: str
    commits: Mapping[str, int | None] = field(default_factory=dict)

    def opened(self) -> PublishedTable:
        """Return the table; close it.

        Raises:
            DatasetError: the snapshot is not what it was, or what was made of it is not there any more.
            StoreError: the store does not answer or a file is damaged.
        """
        store = Store(self.url, create=False)
        if self.commits:
            return open_shards(store, self.commits)
        if read_index_head(store, self.number).digest != self.digest:
            raise DatasetError(f"snapshot {self.number} of {self.url} is not what it was: images of it were forgotten")
        return open_table(store, self.number, self.name)


def dask_frame(pinned: PinnedTable, columns: tuple[str, ...], size: tuple[int, int]) -> Any:
    """Return a frame of Dask whose parts are read where they are worked on.

    Args:
        size: how many rows there are, and how many are a batch.

    Raises:
        ImportError: dask.dataframe is not installed.
    """
    import dask.dataframe

    rows, batch_rows = size
    step = batch_rows * _BATCHES_A_PART
    spans = [(first, min(first + step, rows)) for first in range(0, rows, step)] or [(0, 0)]
    part = _Part(pinned, columns)
    return dask.dataframe.from_map(part, spans, meta=part((0, 0)), label=f"read-{pinned.name}")


@dataclass(frozen=True, slots=True)
class _Part:
    """A function that reads a half-open range of rows."""

    pinned: PinnedTable
    columns: tuple[str, ...]

    def __call__(self, span: tuple[int, int]) -> "pd.DataFrame":
        """Return the rows, in Arrow's types: in pandas' own a column's type would depend on what a part lacks."""
        import pandas as pd

        table = self.pinned.opened()
        try:
            schema = pa.schema([table.schema.field(name) for name in self.columns])
            pieces = table.batches(self.columns, span) if span[0] < span[1] else ()
            found: pd.DataFrame = pa.concat_tables([schema.empty_table(), *pieces]).to_pandas(
                types_mapper=pd.ArrowDtype
            )
            return found
        finally:
            table.close()
