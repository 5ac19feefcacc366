"""The worst images of each kind, as far as the quality of the newest index is measured."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.checks.image_issues import IMAGE_ISSUES, Images
from image_assets.core.index import IndexHead
from image_assets.pipeline.quality_counts import images_of
from image_assets.pipeline.report.rows import IMAGE_COLUMNS, ShownImage, shown_images
from image_assets.storage.indexes import iter_index
from image_assets.storage.pixel_statistics import MEASURES
from image_assets.storage.quality import QualityStatistics, iter_quality, read_quality_head, read_statistics
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables

_PIECE_ROWS = 4096


@dataclass(frozen=True, slots=True)
class BadImage:
    """An image with an issue; ``value`` is how much of it, in the issue's unit."""

    image: ShownImage
    value: float


@dataclass(frozen=True, slots=True)
class Quality:
    """The statistics of an index, and the worst images of each issue, the worst first."""

    statistics: QualityStatistics
    worst: dict[str, tuple[BadImage, ...]]


def look_at_quality(store: Store, index: IndexHead, most: int) -> Quality | None:
    """Return what is known of the quality of an index, or None when it was not measured for this one.

    Args:
        most: of each issue at most so many images are named.

    Raises:
        StoreError: a file is damaged.
    """
    statistics = read_statistics(store)
    if statistics is None or read_quality_head(store) != statistics.head or not index.is_followed_by(statistics.head):
        return None
    found: dict[str, list[tuple[float, str, BadImage]]] = {name: [] for name in IMAGE_ISSUES}
    usual_side_px = statistics.whole.usual_side_px
    for rows, images, issues in _pieces(store, index):
        flat = pc.list_flatten(issues).to_numpy(zero_copy_only=False)
        parents = pc.list_parent_indices(issues).to_numpy()
        for name in np.unique(flat).tolist() if len(flat) else ():
            at = parents[flat == name]
            values = IMAGE_ISSUES[name].measure(images.beside(usual_side_px))[at]
            # Before anything is made of the others.
            order = np.argsort(-values, kind="stable")[:most]
            bad = zip((-values[order]).tolist(), shown_images(rows.take(pa.array(at[order]))), strict=True)
            named = [(value, image.key, BadImage(image, abs(value))) for value, image in bad]
            found[name] = sorted([*found[name], *named], key=lambda entry: entry[:2])[:most]
    return Quality(statistics, {name: tuple(bad for _, _, bad in entries) for name, entries in found.items()})


def _pieces(store: Store, index: IndexHead) -> Iterator[tuple[pa.Table, Images, pa.ListArray]]:
    """Yield rows of plain outputs that have an issue, what was measured of them, and their issues."""
    columns = list(dict.fromkeys([*IMAGE_COLUMNS, "flags"]))
    indexed = cut_tables(iter_index(store, index.number, columns=columns), _PIECE_ROWS)
    for both in zip(indexed, cut_tables(iter_quality(store), _PIECE_ROWS), strict=False):
        bad = pc.and_(pc.equal(both[0]["variant"], 0), pc.greater(pc.list_value_length(both[1]["issues"]), 0))
        rows, quality = (table.filter(bad) for table in both)
        measures = np.zeros(rows.num_rows, MEASURES)
        for name in set(quality.column_names).intersection(MEASURES.names or ()):
            measures[name] = quality[name].to_numpy()
        yield rows, images_of(rows, measures, np.ones(rows.num_rows, bool)), quality["issues"].combine_chunks()
