"""Parquet: the index as users know it, with pixels as a tensor column when asked for."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from image_assets.core.heads import HEAD_KEY
from image_assets.core.index import FRAME, INDEX_SCHEMA
from image_assets.formats.base import Batch, ExportOptions, SampleStream, Unit
from image_assets.formats.normalize import check_normalization, normalize, normalized_dtype
from image_assets.formats.publishing import published_whole
from image_assets.formats.rows import COLUMNS, IMAGE_ARRAY

# Where the platform keeps an image says nothing to others, and changes when nothing they see does.
_PRIVATE = {"segment", "row", "bucket"}


class ParquetFile:
    """``filename, label, width, height, format``, then every other column of the index that means something outside.

    Last ``frame``, when the dataset has all frames of its images.

    ``image_array`` is an Arrow fixed-shape tensor (height, width, channels); readers that do not know that type see a
    flat list of fixed length. The file's metadata key ``image_assets`` names dataset, digest and normalization.
    """

    suffix = ".parquet"
    other_suffixes: tuple[str, ...] = ()
    encoded = False
    always_pixels = False
    value_bytes = (1.0, 4.0, 2.0)
    unit: Unit = "file"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a Parquet file, one row group a batch.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the images cannot be normalised as asked.
        """
        import pyarrow.parquet as pq

        check_normalization(options.normalization, samples.image_shape[2])
        schema = _schema(samples, options)
        pixels = _leaf(IMAGE_ARRAY)
        leaves = [_leaf(name) for name in schema.names]
        # Parquet knows no bytes: plain uint8 would take four each, as numbers of a dictionary of 256 they take one.
        by_dictionary = [leaf for leaf in leaves if leaf != pixels or options.normalization == "none"]
        # Compressing pixels costs more time than the disk it saves.
        codecs = {leaf: "none" if leaf == pixels else "zstd" for leaf in leaves}
        with (
            published_whole(target) as part,
            pq.ParquetWriter(part, schema, compression=codecs, use_dictionary=by_dictionary) as file,
        ):
            for batch in samples.batches(options.image_array):
                file.write_table(_table(batch, schema, options))


def _schema(samples: SampleStream, options: ExportOptions) -> pa.Schema:
    fields = [INDEX_SCHEMA.field(index_name).with_name(name) for name, index_name in _columns().items()]
    if samples.has_frames:
        fields.append(FRAME)
    if options.image_array:
        pixel = pa.from_numpy_dtype(normalized_dtype(options.normalization, options.real))
        fields.append(pa.field(IMAGE_ARRAY, pa.fixed_shape_tensor(pixel, samples.image_shape), nullable=False))
    head = {"dataset": samples.dataset, "digest": samples.digest, "normalization": options.normalization}
    return pa.schema(fields, metadata={HEAD_KEY: json.dumps(head, sort_keys=True).encode()})


def _columns() -> dict[str, str]:
    """Return the file's columns in order, each with its name in the index."""
    rest = ["variant", *(name for name in INDEX_SCHEMA.names if name not in {*COLUMNS.values(), "variant", *_PRIVATE})]
    return {**COLUMNS, **{name: name for name in rest}}


def _leaf(name: str) -> str:
    """Return a column's name as Parquet's writer wants it: for a list that of its elements."""
    return f"{name}.list.element" if name in {"flags", IMAGE_ARRAY} else name


def _table(batch: Batch, schema: pa.Schema, options: ExportOptions) -> pa.Table:
    names = _columns()
    columns = [batch.rows[names.get(name, name)].combine_chunks() for name in schema.names if name != IMAGE_ARRAY]
    if batch.images is not None:
        pixels = np.ascontiguousarray(normalize(batch.images, options.normalization, options.real, options.channels))
        columns.append(pa.FixedShapeTensorArray.from_numpy_ndarray(pixels))
    return pa.table(columns, schema=schema)
