"""What is counted of an index in one pass over it: labels, splits, sizes, formats, flags."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.dataset_statistics import HISTOGRAMS
from image_assets.core.index import IndexHead
from image_assets.pipeline.report.rows import ValueCounts, plain_rows
from image_assets.storage.indexes import iter_index
from image_assets.storage.store import Store

_PIECE_ROWS = 16_384
# As many as can have a sheet of pictures.
MOST_LABELS = 1000
_COLUMNS = ["variant", "label", "split", "raw_width_px", "raw_height_px", "raw_format", "raw_mode", "flags"]


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How many images have a label (None: have none), and how many of these are in each split."""

    label: str | None
    images: int
    splits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counted:
    """The images of an index, counted by their plain outputs.

    There are ``label_count`` labels; ``labels`` are the most frequent of them (:data:`MOST_LABELS`), in order.
    ``splits`` is empty without splits. ``formats`` are of the raw files. ``histograms`` are counts in the bins of
    :data:`~image_assets.core.dataset_statistics.HISTOGRAMS`.
    """

    images: int
    unlabelled: int
    label_count: int
    labels: tuple[LabelCount, ...]
    splits: Mapping[str, int]
    formats: Mapping[str, int]
    flags: Mapping[str, int]
    histograms: Mapping[str, tuple[int, ...]]


def count_index(store: Store, index: IndexHead) -> Counted:
    """Return what is counted of an index; what is held is one row for each label and split.

    Raises:
        StoreError: the index is damaged.
    """
    labelled, formats = ValueCounts(["label", "split"]), ValueCounts(["raw_format", "raw_mode"])
    flags: Counter[str] = Counter()
    sizes = {name: np.zeros(HISTOGRAMS[name].count, np.int64) for name in ("size", "aspect")}
    images = 0
    for rows in plain_rows(iter_index(store, index.number, batch_rows=_PIECE_ROWS, columns=_COLUMNS)):
        images += rows.num_rows
        labelled.add(rows)
        formats.add(rows)
        flags.update(pc.list_flatten(rows["flags"]).to_pylist())
        for name, counts in _sizes(rows).items():
            sizes[name] += counts
    return Counted(
        images=images,
        **_labels(labelled.counts()),
        formats={_format(row): row["count_all"] for row in formats.counts().to_pylist()},
        flags=dict(sorted(flags.items(), key=lambda pair: (-pair[1], pair[0]))),
        histograms={name: tuple(counts.tolist()) for name, counts in sizes.items()},
    )


def _sizes(rows: pa.Table) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    width, height = (
        np.maximum(rows[f"raw_{side}_px"].to_numpy(), 1).astype(np.float64) for side in ("width", "height")
    )
    values = {"size": np.sqrt(width * height), "aspect": np.maximum(width, height) / np.minimum(width, height)}
    return {name: HISTOGRAMS[name].counts(np.log2(value)) for name, value in values.items()}


def _labels(pairs: pa.Table) -> dict[str, Any]:
    """Return what is said of labels and splits; each of a million labels may have one image."""
    named = pairs.filter(pc.is_valid(pairs["label"])).group_by("label").aggregate([("count_all", "sum")])
    ranked = named.sort_by([("count_all_sum", "descending"), ("label", "ascending")])
    top = ranked.slice(0, MOST_LABELS)
    found: dict[str, dict[str, int]] = {}
    of_top = pc.and_(pc.is_in(pairs["label"], value_set=top["label"]), pc.is_valid(pairs["split"]))
    for row in pairs.filter(of_top).to_pylist() if top.num_rows else ():
        found.setdefault(row["label"], {})[row["split"]] = row["count_all"]
    return {
        "unlabelled": pc.sum(pairs.filter(pc.is_null(pairs["label"]))["count_all"]).as_py() or 0,
        "label_count": ranked.num_rows,
        "labels": tuple(
            LabelCount(row["label"], row["count_all_sum"], found.get(row["label"], {})) for row in top.to_pylist()
        ),
        "splits": _splits(pairs.filter(pc.is_valid(pairs["split"]))),
    }


def _splits(pairs: pa.Table) -> dict[str, int]:
    rows = pairs.group_by("split").aggregate([("count_all", "sum")]).to_pylist()
    totals = {row["split"]: row["count_all_sum"] for row in rows}
    order = ("train", "val", "test", "quarantine")
    return {name: totals[name] for name in [*order, *sorted(totals.keys() - set(order))] if name in totals}


def _format(row: Mapping[str, str | None]) -> str:
    return f"{row['raw_format'] or 'unknown'} {row['raw_mode'] or ''}".strip()
