"""NumPy: one .npz of aligned arrays, written straight through, without pickle."""

import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_assets.formats.base import Batch, ExportOptions, SampleStream
from image_assets.formats.labels import label_ids, survey_texts, texts
from image_assets.formats.normalize import check_normalization, normalize, normalized_dtype
from image_assets.formats.publishing import published_whole

# The oldest time a zip can hold: with the present one two equal files would differ.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class NumpyFile:
    """``images`` (n, height, width, channels), ``labels``, ``label_ids``, ``filenames`` (n,), ``label_names`` (k,).

    Images are uint8, or float32 when normalised. ``labels`` and ``filenames`` are unicode; a sample without label has
    an empty one and the id -1. ``variants`` (n,) is there when the dataset has any; ``dataset`` and ``digest`` are
    scalars. Nothing is compressed.
    """

    suffix = ".npz"
    other_suffixes = ()

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a .npz file; the samples are gone through once for each array.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the images cannot be normalised as asked.
        """
        check_normalization(options.normalization, samples.image_shape[2])
        survey = survey_texts(samples)
        names, rows = survey.label_names, (samples.rows,)
        label_type, name_type = _text(survey.longest_label), _text(survey.longest_filename)

        def images(batch: Batch) -> NDArray[Any]:
            pixels = batch.images if batch.images is not None else np.empty((0, *samples.image_shape), np.uint8)
            return normalize(pixels, options.normalization)

        with published_whole(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
            add = partial(_add_array, file)
            add("dataset", (), [np.array(samples.dataset)])
            add("digest", (), [np.array(samples.digest)])
            add("label_names", (len(names),), [np.array(names, label_type)])
            pieces = partial(_pieces, samples)
            add("filenames", rows, pieces(lambda batch: np.array(texts(batch.rows["key"]), name_type)))
            add("labels", rows, pieces(lambda batch: np.array(texts(batch.rows["label"]), label_type)))
            add("label_ids", rows, pieces(lambda batch: label_ids(batch.rows["label"], names)))
