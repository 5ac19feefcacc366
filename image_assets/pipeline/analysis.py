"""A short report on a dataset, or on a stable sample of it: counts, labels, sizes, formats, failures, brightness."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.core.index import IndexHead
from image_assets.core.sample import FAILED, OK
from image_assets.core.sampling import in_sample, only_sampled, refuse_fraction
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.identity import look_into_store
from image_assets.storage.indexes import iter_index, published_head
from image_assets.storage.manifests import read_manifest
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables, iter_tables

# The most frequent values that are named; of all others it is said how many there are.
_NAMED = 20
_PIECE_ROWS = 4096
_QUANTILES = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}
_MANIFEST_COLUMNS = [
    "key", "sha256", "size_bytes", "status", "reason", "raw_format", "raw_mode", "raw_width_px",
    "raw_height_px", "orientation", "flags",
]  # fmt: skip
# What people call it -> what was measured.
_MEASURES = {
    "brightness": "luma_mean",
    "blur": "blur",
    "entropy_bits": "entropy_bits",
    "colourfulness": "colourfulness",
}


def analyze_dataset(settings: Settings, fraction: float = 1.0) -> dict[str, Any]:
    """Return a report on the last published state: 12 bytes an image of the sample are in memory, and one shard.

    ``images`` are raw ones, with those that failed; ``rows`` output images. Numbers are those of the sample. What was
    measured of pixels is there when ``image_quality.parquet`` follows the newest index.

    Raises:
        ConfigError: the fraction is not in (0, 1].
        DatasetError: nothing was published.
        StoreError: the store does not answer or is damaged.
    """
    refuse_fraction(fraction)
    store = look_into_store(settings)
    head = published_head(store)
    raw = _RawImages()
    for shard, number in head.commits.items():
        rows = read_manifest(store, shard, number, _MANIFEST_COLUMNS).rows
        # Bytes that could not be read have no hash: their key stands for them.
        marks = pc.coalesce(rows["sha256"], rows["key"]).to_pylist()
        raw.add(rows.filter(pa.array(in_sample(marks, fraction))))
    about = {"dataset": head.dataset, "index_number": head.number, "digest": head.digest, "fraction": fraction}
    return {**about, **raw.report(), **_indexed(store, head, fraction), **_measured(store, head, fraction)}


class _RawImages:
    """What is counted of raw images, a table at a time."""

    def __init__(self) -> None:
        self._counts = {name: Counter[Any]() for name in ("reason", "raw_format", "raw_mode", "flags")}
        self._numbers: dict[str, list[NDArray[np.float32]]] = {"width_px": [], "height_px": [], "aspect_ratio": []}
        self._images = self._failed = self._bytes = self._turned = 0

    def add(self, rows: pa.Table) -> None:
        """Count some rows of a manifest."""
        failed, good = (rows.filter(pc.equal(rows["status"], status)) for status in (FAILED, OK))
        self._images += rows.num_rows
        self._failed += failed.num_rows
        self._bytes += pc.sum(pc.max_element_wise(good["size_bytes"], 0)).as_py() or 0
        self._turned += pc.sum(pc.greater(good["orientation"], 1)).as_py() or 0
        for name in ("raw_format", "raw_mode"):
            self._counts[name].update(good[name].to_pylist())
        self._counts["reason"].update(failed["reason"].to_pylist())
        self._counts["flags"].update(pc.list_flatten(good["flags"]).to_pylist())
        width, height = (good[f"raw_{side}_px"].to_numpy().astype(np.float32) for side in ("width", "height"))
        for name, values in {"width_px": width, "height_px": height, "aspect_ratio": width / height}.items():
            self._numbers[name].append(values)

    def report(self) -> dict[str, Any]:
        """Return what was counted."""
        good = self._images - self._failed
        return {
            "images": self._images,
            "failed_images": self._failed,
            "failed_reasons": _most_frequent(self._counts["reason"]),
            "raw_formats": _most_frequent(self._counts["raw_format"]),
            "raw_modes": _most_frequent(self._counts["raw_mode"]),
            "flags": _most_frequent(self._counts["flags"]),
            "turned_images": self._turned,
            "average_raw_bytes": round(self._bytes / good) if good else 0,
            **{f"raw_{name}": _quantiles(pieces) for name, pieces in self._numbers.items()},
        }


def _indexed(store: Store, head: IndexHead, fraction: float) -> dict[str, Any]:
    """Return what the index says: labels, also those that people gave, and splits where there are any."""
    labels: Counter[str | None] = Counter()
    splits: Counter[str | None] = Counter()
    count = 0
    for rows in iter_index(store, head.number, columns=["sha256", "variant", "label", "split"]):
        drawn = only_sampled(rows, fraction)
        count += drawn.num_rows
        plain = drawn.filter(pc.equal(drawn["variant"], 0))
        labels.update(plain["label"].to_pylist())
        splits.update(plain["split"].to_pylist())
    unlabelled = labels.pop(None, 0)
    return {
        "rows": count,
        "unlabelled_images": unlabelled,
        "labels": len(labels),
        "label_counts": _most_frequent(labels),
        **({} if set(splits) <= {None} else {"splits": _most_frequent(splits)}),
    }


def _measured(store: Store, head: IndexHead, fraction: float) -> dict[str, Any]:
    """Return what is known of the pixels of the sample's plain outputs."""
    if not store.exists(layout.IMAGE_QUALITY):
        return {}
    with store.open(layout.IMAGE_QUALITY) as file:
        there = set(pq.read_schema(file).names)
    names = {name: column for name, column in _MEASURES.items() if column in there}
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    issues: Counter[str] = Counter()
    index = cut_tables(iter_index(store, head.number, columns=["id", "sha256"]), _PIECE_ROWS)
    columns = ["id", *names.values(), "issues"]
    measures = iter_tables(store, layout.IMAGE_QUALITY, batch_rows=_PIECE_ROWS, columns=columns)
    for rows, piece in zip(index, cut_tables(measures, _PIECE_ROWS), strict=False):
        if not rows["id"].equals(piece["id"]):
            # It is of an older index: the next run brings it in line.
            return {}
        drawn = piece.filter(pa.array(in_sample(rows["sha256"].to_pylist(), fraction)))
        issues.update(pc.list_flatten(drawn["issues"]).to_pylist())
        for name, column in names.items():
            values = drawn[column].drop_null().to_numpy().astype(np.float32)
            found[name].append(values[np.isfinite(values)])
    return {**{name: _quantiles(pieces) for name, pieces in found.items()}, "issues": _most_frequent(issues)}


def _most_frequent(counts: Counter[Any]) -> dict[str, int]:
    """Return the most frequent values with their numbers, ties by name, and how often all others occur together."""
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
    named = {str(value) if value is not None else "": count for value, count in ranked[:_NAMED]}
    others = sum(count for _, count in ranked[_NAMED:])
    return {**named, **({f"({len(ranked) - _NAMED} others)": others} if others else {})}


def _quantiles(pieces: Sequence[Iterable[float]]) -> dict[str, float]:
    values = np.concatenate([np.empty(0, np.float32), *pieces])
    if not len(values):
        return {}
    found = np.quantile(values, list(_QUANTILES.values()))
    return {name: round(float(value), 3) for name, value in zip(_QUANTILES, found, strict=True)}
