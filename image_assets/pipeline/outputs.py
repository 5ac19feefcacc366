"""The manifest columns of an image's outputs, as they are made and as they are found in a segment."""

from typing import Any

from image_assets.core.manifest import FACT_FIELDS
from image_assets.core.sample import OK, Rendered
from image_assets.storage.segments import read_segment
from image_assets.storage.store import Store

Row = dict[str, Any]
_CACHED_SEGMENTS = 16
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
    """Looks up outputs in the segments of a recipe; keeps the rows of a few segments, without images."""

    def __init__(self, store: Store, recipe_id: str) -> None:
        self._store = store
        self._recipe_id = recipe_id
        self._segments: dict[str, list[Row]] = {}

    def at(self, segment: str, first: int) -> Row:
        """Return the columns of the outputs that lie in a segment from row ``first`` on.

        Raises:
            StoreError: the segment is damaged or gone.
        """
        if segment not in self._segments:
            if len(self._segments) >= _CACHED_SEGMENTS:
                self._segments.pop(next(iter(self._segments)))
            self._segments[segment] = read_segment(self._store, self._recipe_id, segment).to_pylist()
        rows = self._segments[segment]
        last = first + 1
        while last < len(rows) and rows[last]["variant"] > 0:
            last += 1
        return _columns(segment, first, rows[first:last])


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
