"""A snapshot as a dataset of Hugging Face's ``datasets``, with the images as they are stored."""

from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from image_assets.core.index import FRAME, INDEX_SCHEMA
from image_assets.loaders.samples import LoadOptions
from image_assets.loaders.snapshot import PinnedSnapshot

# Encoded images held at a time: 256 of 17 kB are 4 MB.
_PIECE_ROWS = 256


def huggingface_dataset(
    snapshot: PinnedSnapshot, columns: tuple[str, ...], *, streaming: bool
) -> "datasets.Dataset | datasets.IterableDataset":
    """Return the dataset, in index order: ``image`` (Image), ``label`` (ClassLabel), columns.

    Raises:
        DatasetError: there is no such column.
        ConfigError: a column's name is taken.
        StoreError: the index or a segment is damaged or gone.
    """
    dataset = snapshot.opened()
    LoadOptions(columns=columns).check(dataset.columns, dataset.image_shape[2])
    names = list(snapshot.plan().label_names)
    schema = pa.schema([FRAME if name == FRAME.name else INDEX_SCHEMA.field(name) for name in columns])
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=names) if names else datasets.Value("int64"),
            **datasets.Features.from_arrow_schema(schema),
        }
    )
    # A hash of this, pickled, names the copy that datasets keeps: another snapshot is another copy.
    wanted = {"snapshot": snapshot, "columns": columns}
    kind = datasets.IterableDataset if streaming else datasets.Dataset
    return kind.from_generator(_examples, features=features, gen_kwargs=wanted)


def _examples(snapshot: PinnedSnapshot, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    dataset = snapshot.opened()
    ids = {name: number for number, name in enumerate(snapshot.plan().label_names)}
    read = list(dict.fromkeys([*columns, "segment", "row", "label"]))
    chosen = np.zeros(len(dataset), bool)
    chosen[snapshot.plan().index_rows] = True
    first = 0
    for piece in dataset.row_batches(_PIECE_ROWS, read):
        rows = piece.filter(pa.array(chosen[first : first + piece.num_rows]))
        first += piece.num_rows
        for row, data in zip(rows.to_pylist(), dataset.encoded(rows), strict=True):
            image = {"bytes": data, "path": None}
            yield {"image": image, "label": ids.get(row["label"])} | {name: row[name] for name in columns}
