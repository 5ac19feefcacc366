"""NumPy: one .npy of records, which ``np.load(..., mmap_mode="r")`` reads without loading it."""

from pathlib import Path
from typing import Any

import numpy as np

from image_assets.formats.arrays import ArrayDataset, array_dataset
from image_assets.formats.base import Batch, ExportOptions, SampleStream, Unit
from image_assets.formats.publishing import published_whole


class NpyFile:
    """A record a sample: ``images`` (height, width, channels), ``filenames``, ``labels``, ``label_ids``.

    The names are those of the .npz, so ``np.load(path, mmap_mode="r")["images"]`` is an array of shape (n, height,
    width, channels), of which only what is looked at is read; what belongs to one sample lies together. Images are
    uint8, or float32 or float16 when normalised. Texts are unicode; a sample without label has an empty one and the id
    -1. ``variants`` and ``frames`` are there when the dataset has any.
    """

    suffix = ".npy"
    other_suffixes: tuple[str, ...] = ()
    encoded = False
    always_pixels = True
    value_bytes = (1.0, 4.0, 2.0)
    unit: Unit = "shards"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a .npy file.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the images cannot be normalised as asked.
        """
        arrays = array_dataset(samples, options)
        record = _record(arrays)
        with published_whole(target) as part, part.open("wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(record), "fortran_order": False, "shape": (samples.rows,)}
            # Version 1 is for headers below 64 KiB: that of a record is some hundred bytes.
            np.lib.format.write_array_header_1_0(file, header)
            for batch in samples.batches(True):
                file.write(_records(batch, arrays, record).data)


def _record(arrays: ArrayDataset) -> np.dtype[Any]:
    # Aligned: what takes memory as it is, like torch.from_numpy, wants steps of whole numbers.
    fields = [(array.name, array.dtype, array.item_shape) for array in (arrays.images, *arrays.others)]
    return np.dtype(fields, align=True)


def _records(batch: Batch, arrays: ArrayDataset, record: np.dtype[Any]) -> Any:
    # Zeros, so that what lies between the fields is the same in every file.
    records = np.zeros(batch.rows.num_rows, record)
    for array in (arrays.images, *arrays.others):
        records[array.name] = array.items(batch)
    return records
