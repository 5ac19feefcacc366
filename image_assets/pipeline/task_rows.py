"""The rows of one task: some hundred at a time as Python's own objects, the others as tables, a tenth of the size.

A row group or a part of an archive is one task, however many images it holds.
"""

from collections.abc import Iterator

import pyarrow as pa

from image_assets.core.extensions import promises_other_format
from image_assets.core.manifest import MANIFEST_SCHEMA
from image_assets.core.sample import OK
from image_assets.pipeline.outputs import Row

_ROWS_AT_A_TIME = 256


def rows_of(work: pa.Table) -> Iterator[Row]:
    """Yield the rows of a table."""
    for batch in work.to_batches(max_chunksize=_ROWS_AT_A_TIME):
        yield from batch.to_pylist()


class TaskRows:
    """Takes manifest rows in their order; those that lie here may be changed until they are settled."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._settled: list[pa.Table] = []

    def append(self, row: Row, *, final: bool) -> None:
        """Add a row.

        Args:
            final: nothing will change in this row, nor in those before it.
        """
        self._rows.append(row)
        if final and len(self._rows) >= _ROWS_AT_A_TIME:
            self._settle()

    def table(self) -> pa.Table:
        """Return all rows, in MANIFEST_SCHEMA."""
        self._settle()
        return pa.concat_tables(self._settled)

    def _settle(self) -> None:
        for row in self._rows:
            if row["status"] == OK and promises_other_format(row["key"], row["raw_format"]):
                row["flags"] = sorted({*row["flags"], "wrong_extension"})
        self._settled.append(pa.Table.from_pylist(self._rows, schema=MANIFEST_SCHEMA))
        self._rows = []
