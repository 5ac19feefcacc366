"""How large an export will be, told before it is written."""

import logging
from collections.abc import Iterable

from image_assets.core.index import IndexHead
from image_assets.core.words import size
from image_assets.formats import find_format
from image_assets.formats.base import ExportOptions
from image_assets.pipeline.exporting import ExportTarget
from image_assets.pipeline.reading import open_dataset

# Names, labels and sizes of a row, roughly.
_ROW_BYTES = 200
_LARGE_BYTES = 256 * 2**20
# Without a handler of somebody's it is shown on standard error: by a command, and in the log of a Dagster step.
_LOGGER = logging.getLogger("image_assets.exports")


def size_note(store_url: str, target: ExportTarget, fraction: float = 1.0) -> str | None:
    """Return one line about an export that will be large, with what the images take encoded; None for a small one.

    Args:
        fraction: how much of the dataset is written (0-1).

    Raises:
        DatasetError: nothing was published in the store.
        StoreError: the store does not answer or is damaged.
        ConfigError: a format does not exist.
    """
    with open_dataset(store_url) as dataset:
        rows, shape = round(len(dataset) * fraction), dataset.image_shape
        encoded = _encoded_bytes(dataset.head, rows)
    sizes = {path: _file_bytes(name, target.options, rows, shape, encoded) for name, path in target.files}
    if sum(sizes.values()) < _LARGE_BYTES:
        return None
    largest = max(sizes, key=lambda path: sizes[path])
    return (
        f"writing about {size(sum(sizes.values()))}, {largest.name} most of it; "
        f"encoded (.tar, .tfrecord, .hf.parquet) the {rows} images take {size(encoded)}"
    )


def announce(name: str, head: IndexHead, rows: Iterable[int], shape: tuple[int, int, int]) -> None:
    """Say how large the files of an export will be that are about to be written, with so many rows each, if they are.

    Raises:
        ConfigError: the format does not exist.
    """
    count = sum(rows)
    announce_bytes(name, _file_bytes(name, ExportOptions(), count, shape, _encoded_bytes(head, count)))


def announce_bytes(what: str, size_bytes: float) -> None:
    """Say that so much is about to be written, if it is much."""
    if size_bytes >= _LARGE_BYTES:
        _LOGGER.warning("image-assets: writing about %s: %s", size(size_bytes), what)


def _encoded_bytes(head: IndexHead, rows: int) -> float:
    return rows * float(head.totals.get("average_image_size", 0))


def _file_bytes(
    name: str, options: ExportOptions, rows: int, shape: tuple[int, int, int], encoded_bytes: float
) -> float:
    kind = find_format(name)
    if kind.encoded:
        return encoded_bytes + rows * _ROW_BYTES
    whole, single, half = kind.value_bytes
    pixel = whole if options.normalization == "none" else single if options.real == "float32" else half
    # Formats of arrays always hold pixels, those of rows when asked.
    held = kind.always_pixels or options.image_array
    height, width, channels = shape
    return rows * (_ROW_BYTES + (height * width * channels * pixel if held else 0))
