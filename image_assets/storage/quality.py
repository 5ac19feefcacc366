"""Files about the quality of the newest index: what was measured of each row, and the statistics of all of them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.dataset_statistics import HISTOGRAMS, DatasetStatistics
from image_assets.core.heads import FORMAT_VERSION, HEAD_KEY, seal, unseal
from image_assets.storage import layout
from image_assets.storage.pixel_statistics import MEASURE_FIELDS
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import iter_tables, naming_damage, parse_head, read_head, read_table, to_parquet

_PIECE_ROWS = 4096
_ISSUES = pa.field("issues", pa.list_(pa.string()), nullable=False)
# The exact sums are in the statistics.
_SHOWN = [field for field in MEASURE_FIELDS if not field.name.startswith(("sum_", "squares_", "width", "height"))]
QUALITY_SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), *_SHOWN, _ISSUES])
_COUNTS = pa.map_(pa.string(), pa.int64())
# Sums of a large dataset pass 64 bits.
_SUMS = pa.list_(pa.decimal128(38, 0))
_STATISTICS_SCHEMA = pa.schema(
    [
        pa.field("part", pa.string(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("images", "measured", "channels", "pixels")),
        *(pa.field(name, _SUMS, nullable=False) for name in ("sums", "squares")),
        pa.field("unlabelled", pa.int64(), nullable=False),
        *(pa.field(name, _COUNTS, nullable=False) for name in ("labels", "issues")),
        *(pa.field(name, pa.list_(pa.int64()), nullable=False) for name in HISTOGRAMS),
    ]
)
# Parts that are no shard: all of them, and the snapshot that they are compared with.
_WHOLE, _BASELINE = "dataset", "baseline"


@dataclass(frozen=True, slots=True)
class QualityHead:
    """What the files about quality say of themselves: whose rows they follow, and how they were made.

    ``thresholds`` is a digest of the settings that decide issues. ``exact_duplicates`` images have the raw bytes of an
    earlier one. The baseline's number is 0 without one, which ``baseline_note`` explains; ``baseline_is_lost`` says
    that there should be one.
    """

    method: str
    thresholds: str
    index_number: int
    index_digest: str
    recipe_id: str
    rows: int
    exact_duplicates: int
    baseline_number: int = 0
    baseline_digest: str = ""
    baseline_recipe_id: str = ""
    baseline_note: str = ""
    baseline_is_lost: bool = False
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class QualityStatistics:
    """The statistics of an index, of its shards by name, and of the snapshot that it is compared with, if any."""

    head: QualityHead
    whole: DatasetStatistics
    shards: Mapping[str, DatasetStatistics]
    baseline: DatasetStatistics | None


def write_statistics(store: Store, statistics: QualityStatistics) -> None:
    """Replace the statistics.

    Raises:
        StoreError: they cannot be written.
    """
    parts = {_WHOLE: statistics.whole, **statistics.shards}
    if statistics.baseline is not None:
        parts[_BASELINE] = statistics.baseline
    rows = pa.Table.from_pylist([_row(name, part) for name, part in parts.items()], _STATISTICS_SCHEMA)
    store.put(layout.DATASET_STATISTICS, to_parquet(rows, seal(asdict(statistics.head))))


def read_statistics(store: Store) -> QualityStatistics | None:
    """Return the statistics, or None when there are none yet.

    Raises:
        StoreError: they are damaged or from a newer version.
    """
    path = layout.DATASET_STATISTICS
    if not store.exists(path):
        return None
    text, rows = read_table(store, path)
    head = parse_head(path, text, lambda content: QualityHead(**unseal(content, path)))
    with naming_damage(path):
        parts = {row["part"]: _statistics(row) for row in rows.to_pylist()}
        whole, baseline = parts.pop(_WHOLE), parts.pop(_BASELINE, None)
    return QualityStatistics(head, whole, parts, baseline)


def read_quality_head(store: Store) -> QualityHead | None:
    """Return the head of what is said of each row, or None when there is nothing yet.

    Raises:
        StoreError: it is damaged or from a newer version.
    """
    path = layout.IMAGE_QUALITY
    if not store.exists(path):
        return None
    return parse_head(path, read_head(store, path), lambda content: QualityHead(**unseal(content, path)))


def iter_quality(store: Store) -> Iterator[pa.Table]:
    """Yield what is said of each row (:data:`QUALITY_SCHEMA`), a piece at a time.

    Raises:
        StoreError: the file does not exist or is damaged.
    """
    return iter_tables(store, layout.IMAGE_QUALITY, batch_rows=_PIECE_ROWS)


@contextmanager
def staged_quality(head: QualityHead, pieces: Iterable[pa.Table]) -> Iterator[Path]:
    """Write what is said of each row to a temporary place, one piece in memory at a time."""
    schema = QUALITY_SCHEMA.with_metadata({HEAD_KEY: seal(asdict(head))})
    with scratch_folder() as folder:
        path = folder / "image_quality.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
            for piece in pieces:
                writer.write_table(piece.cast(schema))
        yield path


def publish_quality(store: Store, staged: Path) -> None:
    """Replace what is said of each row by a staged file.

    Raises:
        StoreError: it cannot be written.
    """
    store.put(layout.IMAGE_QUALITY, staged)


def _row(name: str, part: DatasetStatistics) -> dict[str, Any]:
    row = {field: getattr(part, field) for field in ("images", "measured", "channels", "pixels", "unlabelled")}
    counts = {field: sorted(getattr(part, field).items()) for field in ("labels", "issues")}
    sums = {field: list(getattr(part, field)) for field in ("sums", "squares")}
    return {"part": name, **row, **counts, **sums, **{field: list(part.histograms[field]) for field in HISTOGRAMS}}


def _statistics(row: dict[str, Any]) -> DatasetStatistics:
    (red, green, blue), (red_2, green_2, blue_2) = ([int(total) for total in row[name]] for name in ("sums", "squares"))
    return DatasetStatistics(
        **{field: row[field] for field in ("images", "measured", "channels", "pixels", "unlabelled")},
        sums=(red, green, blue),
        squares=(red_2, green_2, blue_2),
        labels=dict(row["labels"]),
        issues=dict(row["issues"]),
        histograms={field: tuple(row[field]) for field in HISTOGRAMS},
    )
