"""What was measured of each output image: chunks as they are measured, and all of them by content."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.hashes import packed_hashes
from image_assets.core.pixel_statistics import PixelStatistics
from image_assets.storage import layout
from image_assets.storage.chunks import chunk_paths, keep_chunk
from image_assets.storage.store import Store
from image_assets.storage.tables import naming_damage, read_table

# The fields of PixelStatistics, the sums one column a channel.
MEASURES = np.dtype(
    [
        *((name, np.int32) for name in ("width_px", "height_px")),
        ("channels", np.uint8),
        *((f"{kind}_{channel}", np.int64) for kind in ("sum", "squares") for channel in range(3)),
        ("luma_mean", np.float32),
        *((name, np.uint8) for name in ("luma_p05", "luma_p50", "luma_p95")),
        *((name, np.float32) for name in ("white_fraction", "entropy_bits", "blur", "colourfulness")),
    ]
)
MEASURE_FIELDS = [
    pa.field(str(name), pa.from_numpy_dtype(MEASURES.fields[name][0]))
    for name in MEASURES.names or ()
    if MEASURES.fields
]
_CHUNK_SCHEMA = pa.schema([pa.field("output_sha256", pa.string(), nullable=False), *MEASURE_FIELDS])


@dataclass(frozen=True, slots=True)
class KeptMeasures:
    """What was measured, by content (S32, sorted): 32 bytes for that and 85 for the numbers (:data:`MEASURES`)."""

    contents: NDArray[np.bytes_]
    measures: NDArray[np.void]

    def find(self, contents: NDArray[np.bytes_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return where some contents are, and whether they are there at all."""
        if not len(self.contents):
            return np.zeros(len(contents), np.int64), np.zeros(len(contents), bool)
        places = np.searchsorted(self.contents, contents).clip(max=len(self.contents) - 1)
        return places, self.contents[places] == contents

    def of(self, contents: NDArray[np.bytes_]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Return what was measured of some contents, and of which; of the others there are zeros."""
        places, found = self.find(contents)
        measures = np.zeros(len(contents), MEASURES)
        measures[found] = self.measures[places[found]]
        return measures, found


def write_measures(store: Store, method: str, contents: Sequence[str], measured: Sequence[PixelStatistics]) -> None:
    """Keep what was measured of some output images.

    Raises:
        StoreError: it cannot be written.
    """
    rows = [(sha256, *_numbers(one)) for sha256, one in zip(contents, measured, strict=True)]
    columns = [
        pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), _CHUNK_SCHEMA, strict=True)
    ]
    keep_chunk(store, layout.pixel_statistics_of(method), pa.table(columns, schema=_CHUNK_SCHEMA))


def read_measures(store: Store, method: str) -> KeptMeasures:
    """Return all that was measured with a method: 117 bytes an image in memory.

    Raises:
        StoreError: a chunk is damaged.
    """
    contents, measures = [packed_hashes([])], [np.empty(0, MEASURES)]
    for path in chunk_paths(store, layout.pixel_statistics_of(method)):
        table = read_table(store, path, _CHUNK_SCHEMA.names)[1]
        with naming_damage(path):
            contents.append(packed_hashes(table["output_sha256"].to_pylist()))
            measures.append(_unpacked(table.cast(_CHUNK_SCHEMA)))
    every = np.concatenate(contents)
    contents.clear()
    numbers = np.concatenate(measures)
    measures.clear()
    # Two runs at once may have kept the same.
    _, firsts = np.unique(every, return_index=True)
    return KeptMeasures(every[firsts], numbers[firsts])


def measure_columns(measures: NDArray[np.void]) -> dict[str, NDArray[Any]]:
    """Return what was measured as columns, by name."""
    return {field.name: np.ascontiguousarray(measures[field.name]) for field in MEASURE_FIELDS}


def _numbers(one: PixelStatistics) -> Iterator[int | float]:
    """Yield the numbers of one image in the order of the columns."""
    for name in ("width_px", "height_px", "channels"):
        yield getattr(one, name)
    yield from (*one.sums, *one.squares)
    for field in MEASURE_FIELDS[9:]:
        yield getattr(one, field.name)


def _unpacked(table: pa.Table) -> NDArray[np.void]:
    measures = np.empty(table.num_rows, MEASURES)
    for field in MEASURE_FIELDS:
        measures[field.name] = table[field.name].to_numpy()
    return measures
