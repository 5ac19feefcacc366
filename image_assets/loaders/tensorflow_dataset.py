"""A snapshot as a ``tf.data.Dataset``."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import tensorflow as tf

from image_assets.core.errors import ConfigError
from image_assets.core.index import FRAME, INDEX_SCHEMA
from image_assets.loaders.order import Epoch, Order
from image_assets.loaders.samples import LoadOptions, SampleReader
from image_assets.loaders.snapshot import PinnedSnapshot


def tensorflow_dataset(
    snapshot: PinnedSnapshot, options: LoadOptions, order: Order, epoch: int
) -> "tf.data.Dataset[Any]":
    """Return one epoch: ``image`` (height, width, channels), ``label`` (class id), columns, in the order drawn for it.

    Raises:
        ConfigError: a column cannot be a tensor, or ``tensor_transform`` is asked for.
        StoreError: the index or a segment is damaged or gone.
    """
    if options.tensor_transform is not None:
        raise ConfigError("tensor_transform is for PyTorch; use transform, or map() of the dataset")
    reader = SampleReader(snapshot, options, kept_rows=2 * order.window_rows)
    blocks = snapshot.plan().blocks
    drawn = Epoch(blocks, order, snapshot.identity, epoch)

    def samples() -> Iterator[dict[str, Any]]:
        for window in drawn.windows(0, blocks.num_rows):
            yield from reader.read(window, epoch)

    return tf.data.Dataset.from_generator(samples, output_signature=_signature(reader, options, blocks.num_rows))


def _signature(reader: SampleReader, options: LoadOptions, rows: int) -> dict[str, Any]:
    first = next(reader.read([0], 0))["image"] if rows else None
    shape = (None, None, None) if first is None or options.transform is not None else first.shape
    image = tf.TensorSpec(shape, tf.uint8 if first is None else tf.as_dtype(first.dtype))
    columns = {name: tf.TensorSpec((), _type_of(name)) for name in options.columns}
    return {"image": image, "label": tf.TensorSpec((), tf.int32), **columns}


def _type_of(name: str) -> Any:
    stored = FRAME.type if name == FRAME.name else INDEX_SCHEMA.field(name).type
    if pa.types.is_list(stored):
        raise ConfigError(f"column {name} is a list and no tensor; leave it out")
    return tf.string if pa.types.is_string(stored) else tf.as_dtype(stored.to_pandas_dtype())
