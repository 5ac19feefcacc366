"""What to say of the quality of a dataset: each check's verdict, and the worst images of each kind."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.checks.base import Verdict
from image_assets.checks.image_issues import IMAGE_ISSUES, Images
from image_assets.core.errors import DatasetError
from image_assets.pipeline.quality import QualityReport, build_quality, statistics_facts
from image_assets.pipeline.quality_counts import images_of
from image_assets.settings import Settings
from image_assets.storage.identity import open_made_store
from image_assets.storage.indexes import iter_index
from image_assets.storage.locks import in_use
from image_assets.storage.pixel_statistics import MEASURES
from image_assets.storage.quality import QualityHead, iter_quality, read_quality_head
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables

_INDEXED = ["key", "variant", "raw_width_px", "raw_height_px", "flags"]
_PIECE_ROWS = 4096


def quality_summary(settings: Settings, *, worst: int) -> dict[str, Any]:
    """Bring the quality in line with the newest index and return what to say of it.

    Args:
        worst: at most so many images of each kind are named.

    Raises:
        ImageAssetsError: as :func:`build_quality`; or another run published other images meanwhile.
    """
    report = build_quality(settings)
    statistics = report.statistics
    with in_use(store := open_made_store(settings)):
        images = _worst_images(store, report, worst)
        if read_quality_head(store) != statistics.head:
            raise DatasetError("another run published an index meanwhile; ask again")
    return {
        "dataset": settings.name,
        "index_number": statistics.head.index_number,
        **statistics_facts(statistics.whole),
        "exact_duplicates": statistics.head.exact_duplicates,
        "measured": report.measured,
        "checks": [_said(verdict) for verdict in report.verdicts],
        "failed": any(verdict.blocks for verdict in report.verdicts),
        "worst": images,
        "shards": {name: statistics_facts(part) for name, part in statistics.shards.items() if part.images},
    }


def _said(verdict: Verdict) -> dict[str, Any]:
    outcome = "passed" if verdict.passed else "failed"
    return {
        "check": verdict.check,
        "outcome": outcome if verdict.numbers.get("known", 1) else "unknown",
        "severity": verdict.severity,
        "sentence": verdict.sentence,
        "numbers": dict(verdict.numbers),
    }


def _worst_images(store: Store, report: QualityReport, most: int) -> dict[str, list[dict[str, Any]]]:
    """Return the keys of the worst images of each issue, and how bad they are."""
    found: dict[str, list[tuple[float, str]]] = {name: [] for name in IMAGE_ISSUES}
    usual_side_px = report.statistics.whole.usual_side_px
    for keys, images, quality in _plain_pieces(store, report.statistics.head):
        lists = quality["issues"].combine_chunks()
        flat, parents = pc.list_flatten(lists).to_numpy(zero_copy_only=False), pc.list_parent_indices(lists).to_numpy()
        for name, issue in IMAGE_ISSUES.items():
            at = parents[flat == name]
            values = issue.measure(images.beside(usual_side_px))[at]
            named = zip((-values).tolist(), keys.take(pa.array(at)).to_pylist(), strict=True)
            found[name] = sorted([*found[name], *named])[:most]
    return {
        name: [{"key": key, issue.unit: abs(value)} for value, key in found[name]]
        for name, issue in IMAGE_ISSUES.items()
    }


def _plain_pieces(store: Store, head: QualityHead) -> Iterator[tuple[pa.ChunkedArray, Images, pa.Table]]:
    indexed = cut_tables(iter_index(store, head.index_number, columns=_INDEXED), _PIECE_ROWS)
    for both in zip(indexed, cut_tables(iter_quality(store), _PIECE_ROWS), strict=False):
        plain = pc.equal(both[0]["variant"], 0)
        rows, quality = (table.filter(plain) for table in both)
        measures = np.zeros(rows.num_rows, MEASURES)
        for name in set(quality.column_names).intersection(MEASURES.names or ()):
            measures[name] = quality[name].to_numpy()
        yield rows["key"], images_of(rows, measures, np.ones(rows.num_rows, bool)), quality
