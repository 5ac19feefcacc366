"""The rows of the file of told labels: those of the plain outputs, laid out for every row of the index."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.index import IndexHead
from image_assets.pipeline.labelled_neighbours import Labelled
from image_assets.settings.features import AutoLabelSettings
from image_assets.storage.auto_labels import PIECE_ROWS
from image_assets.storage.indexes import iter_index
from image_assets.storage.store import Store

_CONFIDENCE_DIGITS = 4


def label_columns(
    name: str,
    told: tuple[NDArray[np.int64], NDArray[np.float64]] | None,
    names: "list[str] | tuple[str, ...]",
    wanted: AutoLabelSettings,
) -> dict[str, pa.Array]:
    """Return the label and the confidence of each plain output, null where none is told."""
    if told is None:
        return {}
    labels, confidence = told
    sure = (labels >= 0) & (confidence >= wanted.min_confidence)
    words = pa.array(names, pa.string()).take(pa.array(labels, mask=~sure))
    numbers = pa.array(np.round(confidence, _CONFIDENCE_DIGITS).astype(np.float32), mask=labels < 0)
    return {f"{name}_label": words, f"{name}_confidence": numbers}


def aligned_labels(
    store: Store, index: IndexHead, images: Labelled, columns: dict[str, pa.Array]
) -> Iterator[pa.Table]:
    """Yield a row for each of the index, in its order; the rows of an image follow its plain one."""
    done = 0
    for piece in iter_index(store, index.number, batch_rows=PIECE_ROWS, columns=["id", "output_sha256", "variant"]):
        plain = piece["variant"].to_numpy() == 0
        places = done - 1 + np.cumsum(plain)
        done = int(places[-1]) + 1 if len(places) else done
        taken = {name: column.take(pa.array(places)) for name, column in columns.items()}
        nothing = {
            f"{name}_{what}": pa.nulls(len(places), kind)
            for name in ("imagenet", "neighbour")
            for what, kind in (("label", pa.string()), ("confidence", pa.float32()))
        }
        rows = {
            "id": piece["id"],
            "output_sha256": piece["output_sha256"],
            "has_label": pa.array(images.has_label[places]),
            **nothing,
            **taken,
            "neighbours": _lists(images.neighbours, images.neighbours[places] >= 0, places, plain),
            "products": _lists(images.products, images.neighbours[places] >= 0, places, plain),
        }
        yield pa.table(rows)


def _lists(
    values: NDArray[np.int64], there: NDArray[np.bool_], places: NDArray[np.int64], plain: NDArray[np.bool_]
) -> pa.Array:
    """Return the numbers that are there as lists, null in rows that are not plain."""
    there = there & plain[:, np.newaxis]
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    offsets = pa.array(ends.astype(np.int32), mask=np.append(~plain, False))
    return pa.ListArray.from_arrays(offsets, pa.array(values[places][there].astype(np.int32)))
