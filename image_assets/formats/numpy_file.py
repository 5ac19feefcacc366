"""NumPy: one .npz of aligned arrays, written straight through, without pickle."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_assets.formats.arrays import AlignedArray, array_dataset
from image_assets.formats.base import ExportOptions, SampleStream, Unit
from image_assets.formats.publishing import published_whole

# The oldest time a zip can hold: with the present one two equal files would differ.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class NumpyFile:
    """``images`` (n, height, width, channels); ``filenames``, ``labels``, ``label_ids`` (n,); ``label_names`` (k,).

    Images are uint8, or float32 or float16 when normalised. Texts are unicode; a sample without label has an empty one
    and the id -1. ``variants`` and ``frames`` (n,) are there when the dataset has any; ``dataset``, ``digest`` and
    ``normalization`` are scalars. Nothing is compressed.
    """

    suffix = ".npz"
    other_suffixes: tuple[str, ...] = ()
    encoded = False
    always_pixels = True
    value_bytes = (1.0, 4.0, 2.0)
    unit: Unit = "shards"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a .npz file; the samples are gone through once for each array, with pixels once.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the images cannot be normalised as asked.
        """
        arrays = array_dataset(samples, options)
        facts = {"dataset": samples.dataset, "digest": samples.digest, "normalization": options.normalization}
        with published_whole(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
            for name, text in facts.items():
                _add(file, name, np.array(text))
            _add(file, "label_names", arrays.label_names)
            for array in arrays.others:
                _add_aligned(file, array, samples, with_images=False)
            _add_aligned(file, arrays.images, samples, with_images=True)


def _add_aligned(file: zipfile.ZipFile, array: AlignedArray, samples: SampleStream, *, with_images: bool) -> None:
    with file.open(_member(array.name), "w", force_zip64=True) as member:
        _write_header(member, array.dtype, (samples.rows, *array.item_shape))
        for batch in samples.batches(with_images):
            member.write(_bytes_of(array.items(batch).astype(array.dtype, copy=False)))


def _add(file: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    with file.open(_member(name), "w", force_zip64=True) as member:
        _write_header(member, values.dtype, values.shape)
        member.write(_bytes_of(values))


def _member(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(f"{name}.npy", _ZIP_TIME)


def _write_header(member: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)


def _bytes_of(values: NDArray[Any]) -> memoryview:
    # A view, not tobytes(): a batch of pixels is not doubled.
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
