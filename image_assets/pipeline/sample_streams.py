"""A published dataset as the formats see it: all of it, or the part of one shard."""

from collections.abc import Callable, Iterator

import pyarrow as pa

from image_assets.core.sharding import bucket_range
from image_assets.formats.base import Batch, EncodedBatch, SampleStream
from image_assets.pipeline.reading import Dataset
from image_assets.pipeline.shard_states import Part, Seen, has_splits
from image_assets.storage.tables import cut_tables

# Pixels of a batch; as float32 they are four times that.
_BATCH_BYTES = 8 * 2**20
_BATCH_IMAGES = 256
_BATCH_ROWS = 4096
_NO_BUCKETS = (0, 0)


RowFilter = Callable[[pa.Table], pa.Table]


def sample_stream(dataset: Dataset) -> SampleStream:
    """Return a dataset as the formats see it."""
    return part_stream(dataset, len(dataset), dataset.digest, None)


def part_stream(dataset: Dataset, rows: int, digest: str, only: RowFilter | None) -> SampleStream:
    """Return the part of a dataset that a filter leaves, of so many rows and that digest, as the formats see it."""
    shape = dataset.image_shape
    batches, encoded = _readers(dataset, shape, None, only)
    return SampleStream(
        dataset=dataset.head.dataset,
        digest=digest,
        rows=rows,
        image_shape=shape,
        has_variants=dataset.has_variants,
        batches=batches,
        encoded=encoded,
        has_frames=dataset.has_frames,
        has_extra=dataset.has_extra,
        has_split=has_splits(dataset),
    )


def samples_of_part(dataset: Dataset, part: Part, seen: Seen) -> SampleStream:
    """Return the samples of one part as the formats see them, with what all parts have in common."""
    state = seen.states[part]
    only = part.rows_of if part.split is not None else None
    # Without a look at the index where there is nothing: of many shards and splits most parts may be empty.
    buckets = bucket_range(part.shard) if state.rows else _NO_BUCKETS
    batches, encoded = _readers(dataset, seen.image_shape, buckets, only)
    return SampleStream(
        dataset=dataset.head.dataset,
        digest=state.digest,
        rows=state.rows,
        image_shape=seen.image_shape,
        has_variants=seen.has_variants,
        batches=batches,
        encoded=encoded,
        has_frames=dataset.has_frames,
        has_extra=seen.has_extra,
        has_split=has_splits(dataset),
        label_names=seen.label_names,
    )


def _readers(
    dataset: Dataset, shape: tuple[int, int, int], buckets: tuple[int, int] | None, only: RowFilter | None
) -> tuple[Callable[[bool], Iterator[Batch]], Callable[..., Iterator[EncodedBatch]]]:
    image_bytes = max(1, shape[0] * shape[1] * shape[2])
    batch_images = max(1, min(_BATCH_IMAGES, _BATCH_BYTES // image_bytes))

    def pieces(batch_rows: int) -> Iterator[pa.Table]:
        found = dataset.row_batches(batch_rows, buckets=buckets) if buckets != _NO_BUCKETS else iter(())
        return found if only is None else cut_tables(map(only, found), batch_rows)

    def batches(with_images: bool) -> Iterator[Batch]:
        for rows in pieces(batch_images if with_images else _BATCH_ROWS):
            yield Batch(rows, dataset.images(rows) if with_images else None)

    def encoded(meant: RowFilter | None = None, /) -> Iterator[EncodedBatch]:
        for rows in pieces(_BATCH_IMAGES):
            left = rows if meant is None else meant(rows)
            yield EncodedBatch(left, dataset.encoded(left))

    return batches, encoded
