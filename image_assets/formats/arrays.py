"""A dataset as aligned arrays: which there are, of which type, and what each batch puts into them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.formats.base import Batch, ExportOptions, SampleStream
from image_assets.formats.normalize import check_normalization, normalize, normalized_dtype


@dataclass(frozen=True, slots=True)
class AlignedArray:
    """An array with one item a sample, in the order of the samples; ``items`` returns those of one batch."""

    name: str
    dtype: np.dtype[Any]
    item_shape: tuple[int, ...]
    items: Callable[[Batch], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ArrayDataset:
    """All arrays of a dataset: ``images`` needs pixels, ``others`` do not; ``label_names`` are sorted, shape (k,)."""

    images: AlignedArray
    others: tuple[AlignedArray, ...]
    label_names: NDArray[np.str_]


def array_dataset(samples: SampleStream, options: ExportOptions) -> ArrayDataset:
    """Return what the arrays will be, after going through all rows once, without pixels.

    ``images`` are uint8, or float32 or float16 when normalised; ``filenames`` and ``labels`` unicode; ``label_ids``
    positions among ``label_names``, which are those of the whole dataset when the samples are a part of one;
    ``variants`` and ``frames`` are there when the dataset has any. A sample without label has an empty one and the id
    -1.

    Raises:
        ConfigError: the images cannot be normalised as asked.
    """
    check_normalization(options.normalization, samples.image_shape[2])
    labels: set[str] = set()
    longest = 0
    for batch in samples.batches(False):
        labels.update(pc.unique(batch.rows["label"]).drop_null().to_pylist())
        longest = max(longest, pc.max(pc.utf8_length(batch.rows["key"])).as_py() or 0)
    names = sorted(labels) if samples.label_names is None else list(samples.label_names)
    label_type = _text_of(max(map(len, names), default=0))

    def pixels(batch: Batch) -> NDArray[Any]:
        if batch.images is None:
            raise ValueError("the batch was asked for without pixels")
        return normalize(batch.images, options.normalization, options.real, options.channels)

    others = [
        AlignedArray("filenames", _text_of(longest), (), lambda batch: _texts(batch.rows["key"])),
        AlignedArray("labels", label_type, (), lambda batch: _texts(batch.rows["label"])),
        AlignedArray("label_ids", np.dtype("<i4"), (), lambda batch: _label_ids(batch.rows["label"], names)),
    ]
    if samples.has_variants:
        others.append(AlignedArray("variants", np.dtype("<i4"), (), lambda batch: batch.rows["variant"].to_numpy()))
    if samples.has_frames:
        others.append(AlignedArray("frames", np.dtype("<i4"), (), lambda batch: batch.rows["frame"].to_numpy()))
    pixel = normalized_dtype(options.normalization, options.real)
    images = AlignedArray("images", pixel, samples.image_shape, pixels)
    return ArrayDataset(images, tuple(others), np.array(names, label_type))


def _text_of(length: int) -> np.dtype[Any]:
    # NumPy has no text of length 0 that every reader knows.
    return np.dtype(f"<U{max(1, length)}")


def _texts(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.array(pc.fill_null(column, "").to_pylist(), np.str_)


def _label_ids(labels: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
    found = pc.index_in(labels, value_set=pa.array(names, pa.string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int32)
