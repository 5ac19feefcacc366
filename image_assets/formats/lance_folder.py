"""Lance: a dataset for training and search, the images as they are stored; one fragment or more a shard."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from image_assets.core.errors import MissingExtraError
from image_assets.core.index import FRAME
from image_assets.formats.base import EncodedBatch, ExportOptions, SampleStream, Unit, refuse_normalization
from image_assets.formats.publishing import published_folder

# What the columns are called -> what the index calls them.
_COLUMNS = {
    "filename": "key",
    "label": "label",
    "width": "width_px",
    "height": "height_px",
    "format": "format",
    "sha256": "output_sha256",
    "variant": "variant",
}


class LanceFolder:
    """Columns ``image`` (binary), ``filename``, ``label``, ``width``, ``height``, ``format``, ``sha256``, ``variant``.

    Then ``frame`` when the dataset has all frames, ``split`` when it has splits, and ``extra`` (JSON) when its source
    has extra columns. Rows are in index order. Lance names its files at random, so equal samples give equal rows, and
    not equal bytes.
    """

    suffix = ".lance"
    other_suffixes: tuple[str, ...] = ()
    encoded = True
    always_pixels = True
    value_bytes = (0.0, 0.0, 0.0)
    unit: Unit = "folder"

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write a Lance dataset, in place of one that is there.

        Raises:
            OSError: it cannot be written.
            ConfigError: normalised pixels are asked for.
            MissingExtraError: Lance is not installed.
        """
        refuse_normalization("lance", options)
        load_lance()
        with published_folder(target) as part:
            commit_fragments(part, lance_schema(samples), write_fragments(samples, part))


def load_lance() -> Any:
    """Return the library.

    Raises:
        MissingExtraError: it is not installed.
    """
    # It says on standard error that a dataset is new.
    os.environ.setdefault("LANCE_LOG", "error")
    try:
        import lance
    except ImportError as error:
        raise MissingExtraError("Lance is not installed: pip install 'image_assets[lance]'") from error
    return lance


def lance_schema(samples: SampleStream) -> pa.Schema:
    """Return the columns of a dataset."""
    whole = dict.fromkeys(("width", "height", "variant"), pa.int32())
    fields = [pa.field("image", pa.binary()), *(pa.field(name, whole.get(name, pa.string())) for name in _COLUMNS)]
    fields += [pa.field(FRAME.name, FRAME.type)] if samples.has_frames else []
    fields += [pa.field("split", pa.string())] if samples.has_split else []
    fields += [pa.field("extra", pa.string())] if samples.has_extra else []
    return pa.schema(fields)


def write_fragments(samples: SampleStream, folder: Path) -> list[Any]:
    """Write samples into a dataset's folder, where no reader sees them yet; return the fragments' descriptions.

    Raises:
        OSError: they cannot be written.
    """
    if not samples.rows:
        return []
    from lance.fragment import write_fragments as write

    schema = lance_schema(samples)
    batches = (record for batch in samples.encoded() for record in _records(batch, schema))
    return list(write(pa.RecordBatchReader.from_batches(schema, batches), str(folder), schema=schema))


def commit_fragments(folder: Path, schema: pa.Schema, fragments: Sequence[Any]) -> Any:
    """Make these fragments, in this order, the dataset, and remove what only its earlier versions had; return it.

    Raises:
        OSError: it cannot be written.
    """
    from datetime import timedelta

    lance = load_lance()
    dataset = lance.LanceDataset.commit(str(folder), lance.LanceOperation.Overwrite(schema, list(fragments)))
    # Also what a killed process wrote and never committed.
    dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    return dataset


def _records(batch: EncodedBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    columns = [
        pa.array(batch.images, pa.binary()) if name == "image" else batch.rows[_COLUMNS.get(name, name)]
        for name in schema.names
    ]
    yield from pa.table(columns, schema=schema).to_batches()
