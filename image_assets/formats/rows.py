"""The rows of table formats: which columns users see, and what they are called."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_assets.formats.base import ExportOptions, SampleStream
from image_assets.formats.normalize import check_normalization, normalize

# What users call a column -> what the index calls it.
COLUMNS = {"filename": "key", "label": "label", "width": "width_px", "height": "height_px", "format": "format"}
EXTRA = "extra"
IMAGE_ARRAY = "image_array"


def column_names(samples: SampleStream, options: ExportOptions) -> list[str]:
    """Return the columns of a CSV or JSON export in order.

    Always the five of :data:`COLUMNS`; then ``variant`` when an image has several (0 is the plain one), ``frame`` when
    the dataset has all frames of its images, ``split`` when it has splits, ``extra`` when its source has extra columns,
    and ``image_array`` when pixels are asked for.
    """
    there = {"variant": samples.has_variants, "frame": samples.has_frames, "split": samples.has_split}
    there[EXTRA] = samples.has_extra
    return [*COLUMNS, *(name for name, has in there.items() if has), *([IMAGE_ARRAY] if options.image_array else [])]


def iter_rows(samples: SampleStream, options: ExportOptions) -> Iterator[tuple[Any, ...]]:
    """Yield each sample's values in the order of :func:`column_names`.

    ``extra`` is a JSON text or None, ``image_array`` nested lists.

    Raises:
        ConfigError: the images cannot be normalised as asked.
    """
    check_normalization(options.normalization, samples.image_shape[2])
    names = [name for name in column_names(samples, options) if name != IMAGE_ARRAY]
    for batch in samples.batches(options.image_array):
        values: list[Iterable[Any]] = [batch.rows[COLUMNS.get(name, name)].to_pylist() for name in names]
        if batch.images is not None:
            values.append(_nested_lists(batch.images, options))
        yield from zip(*values, strict=True)


def iter_objects(samples: SampleStream, options: ExportOptions) -> Iterator[dict[str, Any]]:
    """Yield each sample as what JSON writes: ``extra`` as an object, ``image_array`` as nested lists.

    Raises:
        ConfigError: the images cannot be normalised as asked.
    """
    names = column_names(samples, options)
    for row in iter_rows(samples, options):
        values = dict(zip(names, row, strict=True))
        if values.get(EXTRA) is not None:
            values[EXTRA] = json.loads(values[EXTRA])
        yield values


def _nested_lists(images: NDArray[np.uint8], options: ExportOptions) -> Iterator[Any]:
    # One at a time: as lists a batch of images would take many times its bytes.
    for image in images:
        yield normalize(image, options.normalization, options.real, options.channels).tolist()
