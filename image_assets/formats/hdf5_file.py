"""HDF5: one file of aligned datasets, images chunked by sample so that any one is read alone."""

from pathlib import Path
from typing import Any

from image_assets.formats.arrays import AlignedArray, array_dataset
from image_assets.formats.base import ExportOptions, SampleStream, Unit
from image_assets.formats.publishing import published_whole


class Hdf5File:
    """``images`` (n, height, width, channels); ``filenames``, ``labels``, ``label_ids`` (n,); ``label_names`` (k,).

    Images are uint8, or float32 or float16 when normalised, one chunk a sample, not compressed. Texts are UTF-8; a
    sample without label has an empty one and the id -1. ``variants`` and ``frames`` (n,) are there when the dataset has
    any. The file's attributes are ``dataset``, ``digest`` and ``normalization``.
    """

    suffix = ".h5"
    other_suffixes: tuple[str, ...] = (".hdf5",)
    encoded = False
    always_pixels = True
    value_bytes = (1.0, 4.0, 2.0)
    unit: Unit = "shards"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write an HDF5 file.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the images cannot be normalised as asked.
        """
        import h5py

        plan = array_dataset(samples, options)
        facts = {"dataset": samples.dataset, "digest": samples.digest, "normalization": options.normalization}
        with published_whole(target) as part, h5py.File(part, "w") as file:
            file.attrs.update(facts)
            names = plan.label_names.astype(object)
            file.create_dataset("label_names", data=names, dtype=h5py.string_dtype(), track_times=False)
            arrays = (*plan.others, plan.images)
            datasets = [_create(file, array, samples.rows) for array in arrays]
            start = 0
            for batch in samples.batches(True):
                stop = start + batch.rows.num_rows
                for array, dataset in zip(arrays, datasets, strict=True):
                    items = array.items(batch)
                    dataset[start:stop] = items.astype(object) if array.dtype.kind == "U" else items
                start = stop


def _create(file: Any, array: AlignedArray, rows: int) -> Any:
    import h5py

    dtype = h5py.string_dtype() if array.dtype.kind == "U" else array.dtype
    shape = (rows, *array.item_shape)
    # Texts and numbers are small and lie in one piece; an image is a chunk. HDF5 knows no chunks of nothing.
    chunks = (1, *array.item_shape) if array.item_shape and 0 not in shape else None
    return file.create_dataset(array.name, shape, dtype, chunks=chunks, track_times=False)
