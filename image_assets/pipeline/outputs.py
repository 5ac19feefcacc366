"""The manifest columns of an image's outputs, as they are made and as they are found in a segment."""

from collections import OrderedDict
from typing import Any

import numpy as np
import pyarrow as pa

from image_assets.core.manifest import FACT_FIELDS
from image_assets.core.sample import OK, Rendered
from image_assets.storage.segments import read_segment
from image_assets.storage.store import Store

Row = dict[str, Any]
# Renamed images ask for segments in random order, and reading one takes 2 ms: all of 100,000 images' fit in here.
_CACHED_BYTES = 32 * 2**20
_FACT_NAMES = tuple(field.name for field in FACT_FIELDS)


def made_outputs(segment: str, first: int, rendered: Rendered) -> Row:
    """Return the columns of outputs that were just written to a segment, from row ``first`` on."""
    facts = rendered.facts.as_dict()
    rows = [
        {"output_sha256": output.sha256, "width_px": output.width_px, "height_px": output.height_px,
         "format": output.format, "output_bytes": len(output.data), **facts}
        for output in rendered.outputs
    ]  # fmt: skip
    return _columns(segment, first, rows)


class StoredOutputs:
    """Looks up outputs in the segments of a recipe; keeps the rows of the last segments asked for, without images."""

    def __init__(self, store: Store, recipe_id: str) -> None:
        self._store = store
        self._recipe_id = recipe_id
        self._segments: OrderedDict[str, pa.Table] = OrderedDict()
        self._bytes = 0

    def at(self, segment: str, first: int) -> Row:
        """Return the columns of the outputs that lie in a segment from row ``first`` on.

        Raises:
            StoreError: the segment is damaged or gone.
        """
        rows = self._rows(segment)
        later = rows["variant"].slice(first + 1).to_numpy() == 0
        end = first + 1 + int(np.argmax(later)) if later.any() else rows.num_rows
        return _columns(segment, first, rows.slice(first, end - first).to_pylist())

    def _rows(self, segment: str) -> pa.Table:
        if segment not in self._segments:
            rows = read_segment(self._store, self._recipe_id, segment)
            self._segments[segment] = rows
            self._bytes += rows.nbytes
            while self._bytes > _CACHED_BYTES and len(self._segments) > 1:
                self._bytes -= self._segments.popitem(last=False)[1].nbytes
        self._segments.move_to_end(segment)
        return self._segments[segment]


def _columns(segment: str, first: int, rows: list[Row]) -> Row:
    plain = rows[0]
    return {
        "status": OK,
        "segment": segment,
        "row": first,
        "variants": len(rows),
        "output_sha256": [row["output_sha256"] for row in rows],
        "output_bytes": sum(row["output_bytes"] for row in rows),
        **{name: plain[name] for name in ("width_px", "height_px", "format", *_FACT_NAMES)},
    }
