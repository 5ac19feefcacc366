"""How large an export will be, told before it is written."""

from image_assets.formats import find_format
from image_assets.pipeline.exporting import ExportTarget
from image_assets.pipeline.reading import open_dataset

# Names, labels and sizes of a row, roughly.
_ROW_BYTES = 200
_LARGE_BYTES = 256 * 2**20


def size_note(store_url: str, target: ExportTarget) -> str | None:
    """Return one line about an export that will be large, with what the images take encoded; None for a small one.

    Raises:
        DatasetError: nothing was published in the store.
        StoreError: the store does not answer or is damaged.
        ConfigError: a format does not exist.
    """
    with open_dataset(store_url) as dataset:
        rows = len(dataset)
        height, width, channels = dataset.image_shape
        encoded = rows * float(dataset.head.totals.get("average_image_size", 0))
    sizes = {path: _file_bytes(name, target, rows, height * width * channels, encoded) for name, path in target.files}
    if sum(sizes.values()) < _LARGE_BYTES:
        return None
    largest = max(sizes, key=lambda path: sizes[path])
    return (
        f"writing about {_in_words(sum(sizes.values()))}, {largest.name} most of it; "
        f"encoded (.tar, .tfrecord, .hf.parquet) the {rows} images take {_in_words(encoded)}"
    )


def _file_bytes(name: str, target: ExportTarget, rows: int, values: int, encoded_bytes: float) -> float:
    kind = find_format(name)
    if kind.encoded:
        return encoded_bytes + rows * _ROW_BYTES
    whole, real = kind.value_bytes
    pixels = whole if target.options.normalization == "none" else real
    # Formats of arrays always hold pixels, those of rows when asked.
    held = kind.always_pixels or target.options.image_array
    return rows * (_ROW_BYTES + (values * pixels if held else 0))


def _in_words(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
