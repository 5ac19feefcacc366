"""Parquet with the images as they are stored, as ``datasets`` writes it: ``load_dataset`` shows them as images."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from image_assets.core.index import FRAME
from image_assets.formats.base import (
    FILE_ENDINGS,
    EncodedBatch,
    ExportOptions,
    SampleStream,
    Unit,
    refuse_normalization,
)
from image_assets.formats.publishing import published_whole

_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
# What the hub's viewer reads at a time.
_ROWS_A_GROUP = 100


class HuggingFaceFile:
    """Columns ``image`` (struct of bytes and path), ``label``, ``filename``, ``sha256``, ``variant``.

    Then ``frame`` when the dataset has all frames, and ``extra`` (JSON) when its source has extra columns. The pages of
    a column are cut by its content (content-defined chunking), so that storage which keeps equal pieces once, like the
    hub's, keeps what stays the same when rows come and go.
    """

    suffix = ".hf.parquet"
    other_suffixes: tuple[str, ...] = ()
    encoded = True
    always_pixels = True
    value_bytes = (0.0, 0.0, 0.0)
    unit: Unit = "shards"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a Parquet file.

        Raises:
            OSError: the file cannot be written.
            ConfigError: normalised pixels are asked for.
        """
        import pyarrow.parquet as pq

        refuse_normalization("huggingface", options)
        schema = _schema(samples)
        # JPEG and PNG do not shrink further.
        codecs = {"image.bytes": "none"} | dict.fromkeys(("image.path", *schema.names[1:]), "zstd")
        how: dict[str, Any] = {"compression": codecs, "use_dictionary": ["label"], "use_content_defined_chunking": True}
        with published_whole(target) as part, pq.ParquetWriter(part, schema, **how) as file:
            rest: list[pa.Table] = []
            waiting = 0
            for batch in samples.encoded():
                rest.append(_table(batch, schema))
                waiting += batch.rows.num_rows
                # Row groups are cut by the number of rows alone: how the samples came makes no difference.
                while waiting >= _ROWS_A_GROUP:
                    table = pa.concat_tables(rest)
                    file.write_table(table.slice(0, _ROWS_A_GROUP))
                    rest, waiting = [table.slice(_ROWS_A_GROUP)], waiting - _ROWS_A_GROUP
            if waiting:
                file.write_table(pa.concat_tables(rest))


def _schema(samples: SampleStream) -> pa.Schema:
    fields = [
        pa.field("image", _IMAGE),
        pa.field("label", pa.string()),
        pa.field("filename", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("variant", pa.int32()),
    ]
    fields += [pa.field(FRAME.name, FRAME.type)] if samples.has_frames else []
    fields += [pa.field("extra", pa.string())] if samples.has_extra else []
    features: dict[str, Any] = {field.name: {"dtype": str(field.type), "_type": "Value"} for field in fields}
    features["image"] = {"_type": "Image"}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return pa.schema(fields, metadata)


def _table(batch: EncodedBatch, schema: pa.Schema) -> pa.Table:
    rows = batch.rows
    formats = zip(rows["output_sha256"].to_pylist(), rows["format"].to_pylist(), strict=True)
    paths = [f"{sha256[:32]}.{FILE_ENDINGS[name]}" for sha256, name in formats]
    image = pa.StructArray.from_arrays(
        [pa.array(batch.images, pa.binary()), pa.array(paths, pa.string())], fields=list(_IMAGE)
    )
    there = {"image": image, "filename": rows["key"], "sha256": rows["output_sha256"]}
    return pa.table([there[name] if name in there else rows[name] for name in schema.names], schema=schema)
