"""The quality of the newest index: each image measured once, all of them counted and judged."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.checks import QUALITY_CHECKS
from image_assets.checks.base import Verdict
from image_assets.checks.image_issues import issues_of
from image_assets.checks.quality_base import Baseline, QualityEvidence
from image_assets.core.dataset_statistics import HISTOGRAMS, DatasetStatistics, summed
from image_assets.core.hashes import packed_hashes
from image_assets.core.index import IndexHead
from image_assets.core.pixel_statistics import METHOD, measure_pixels
from image_assets.pipeline.new_contents import look_at_contents, outputs_of_index
from image_assets.pipeline.quality_baseline import find_baseline
from image_assets.pipeline.quality_counts import COUNTED, Tally, images_of, raw_size_counts, tally_index
from image_assets.settings import Settings
from image_assets.storage.identity import no_index_error, open_made_store
from image_assets.storage.indexes import iter_index, newest_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.perceptual import read_duplicates_head
from image_assets.storage.pixel_statistics import KeptMeasures, measure_columns, read_measures, write_measures
from image_assets.storage.quality import (
    QUALITY_SCHEMA,
    QualityHead,
    QualityStatistics,
    publish_quality,
    read_quality_head,
    read_statistics,
    staged_quality,
    write_statistics,
)
from image_assets.storage.store import Store

_CONTENTS = ["variant", "sha256", "output_sha256", "raw_width_px", "raw_height_px", "flags"]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The statistics of the newest index after this step; ``measured`` output images were new."""

    statistics: QualityStatistics
    measured: int
    published: bool
    verdicts: tuple[Verdict, ...]

    @property
    def index_digest(self) -> str:
        """The digest of the index that the files follow."""
        return self.statistics.head.index_digest

    @property
    def facts(self) -> dict[str, str | int | float]:
        """What was counted, and how many images were new."""
        head, whole = self.statistics.head, self.statistics.whole
        channels = whole.channel_statistics
        numbers = {"mean": channels.mean, "std": channels.std} if channels else {}
        return {
            "dagster/row_count": head.rows,
            "images": whole.images,
            "measured": self.measured,
            "labels": len(whole.labels),
            "unlabelled": whole.unlabelled,
            **{
                f"channel_{channel}_{kind}": value
                for kind, values in numbers.items()
                for channel, value in enumerate(values)
            },
            **{f"{name}_images": count for name, count in whole.issues.items()},
            "exact_duplicates": head.exact_duplicates,
            "index_number": head.index_number,
            "index_digest": head.index_digest,
        }


@dataclass(frozen=True, slots=True)
class _Contents:
    """What an index has: the contents of its plain outputs, raw bytes that are there already, the usual raw size."""

    outputs: NDArray[np.bytes_]
    repeated: int
    usual_side_px: float


def build_quality(settings: Settings) -> QualityReport:
    """Bring ``image_quality.parquet`` and ``dataset_statistics.parquet`` in line with the newest index, and judge it.

    Every row of the index has one in the first, in its order; an image's rows, of all variants and frames, say what its
    plain output (variant 0) is like.

    Raises:
        DatasetError: there is no index yet.
        StoreError: the store does not answer or a file is damaged.
    """
    with in_use(store := open_made_store(settings)):
        index = newest_index_head(store)
        if index is None:
            raise no_index_error(settings)
        before = read_statistics(store)
        if before is not None and _follows(before.head, index, settings) and read_quality_head(store) == before.head:
            return QualityReport(before, 0, published=False, verdicts=_judge(settings, store, before))
        measured, statistics = _renew(settings, store, index, before)
        return QualityReport(statistics, measured, published=True, verdicts=_judge(settings, store, statistics))


def quality_version(settings: Settings) -> str:
    """Return one word for what of the settings and the method decides what is said of an index's quality."""
    duplicates = settings.duplicates
    groups = f"-{duplicates.distance_bits}" if duplicates.enabled else ""
    return f"{METHOD}-{_thresholds(settings)}{groups}"


def _thresholds(settings: Settings) -> str:
    content = settings.quality.model_dump(mode="json", exclude={"enabled"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _follows(head: QualityHead, index: IndexHead, settings: Settings) -> bool:
    return index.is_followed_by(head) and (head.method, head.thresholds) == (METHOD, _thresholds(settings))


def _renew(
    settings: Settings, store: Store, index: IndexHead, before: QualityStatistics | None
) -> tuple[int, QualityStatistics]:
    contents = _contents_of(store, index)
    measured, kept = _measured(settings, store, index, contents.outputs)
    found = find_baseline(store, index, settings.quality.baseline)
    head = QualityHead(
        method=METHOD,
        thresholds=_thresholds(settings),
        index_number=index.number,
        index_digest=index.digest,
        recipe_id=index.recipe_id,
        rows=index.rows,
        exact_duplicates=contents.repeated,
        baseline_number=found.head.number if found.head else 0,
        baseline_digest=found.head.digest if found.head else "",
        baseline_recipe_id=found.head.recipe_id if found.head else "",
        baseline_note=found.note,
        baseline_is_lost=found.is_lost,
    )
    tally = Tally(index.num_shards)
    with staged_quality(head, _aligned(settings, store, (index, kept, contents.usual_side_px), tally)) as staged:
        publish_quality(store, staged)
    baseline = _baseline_statistics(store, found.head, before, kept) if found.head else None
    statistics = QualityStatistics(head, summed(tally.shards.values()), tally.shards, baseline)
    # Last: what is said of each row counts when the statistics have the same head.
    write_statistics(store, statistics)
    return measured, statistics


def _contents_of(store: Store, index: IndexHead) -> _Contents:
    outputs, raw = [packed_hashes([])], [packed_hashes([])]
    sizes = np.zeros(HISTOGRAMS["size"].count, np.int64)
    for rows in outputs_of_index(store, index).plain(_CONTENTS):
        outputs.append(packed_hashes(rows["output_sha256"].to_pylist()))
        raw.append(packed_hashes(rows["sha256"].to_pylist()))
        sizes += raw_size_counts(rows)
    usual = DatasetStatistics(histograms={"size": tuple(sizes.tolist())}).usual_side_px
    images = sum(map(len, raw))
    return _Contents(_distinct(outputs), images - len(_distinct(raw)), usual)


def _distinct(pieces: list[NDArray[np.bytes_]]) -> NDArray[np.bytes_]:
    """Return what is in the pieces, sorted, each once; the pieces are let go, and no more than two copies are held."""
    every = np.concatenate(pieces)
    pieces.clear()
    every.sort()
    distinct: NDArray[np.bytes_] = every[np.append(True, every[1:] != every[:-1])[: len(every)]]
    return distinct


def _measured(
    settings: Settings, store: Store, index: IndexHead, contents: NDArray[np.bytes_]
) -> tuple[int, KeptMeasures]:
    """Measure what is new, keeping each chunk as soon as it is full; return how much that was, and all there is."""
    kept = read_measures(store, METHOD)
    missing = contents[~kept.find(contents)[1]]
    if not len(missing):
        return 0, kept
    for hashes, measured in look_at_contents(settings, outputs_of_index(store, index), missing, measure_pixels):
        write_measures(store, METHOD, hashes, measured)
    return len(missing), read_measures(store, METHOD)


def _aligned(
    settings: Settings, store: Store, of: tuple[IndexHead, KeptMeasures, float], tally: Tally
) -> Iterator[pa.Table]:
    """Yield a row for each of the index, in its order, and count its images; variants follow their plain row."""
    index, kept, usual_side_px = of
    last: pa.Table | None = None
    for piece in iter_index(store, index.number, columns=["id", *COUNTED]):
        is_plain = piece["variant"].to_numpy() == 0
        rows = piece.filter(pa.array(is_plain))
        measures, measured = kept.of(packed_hashes(rows["output_sha256"].to_pylist()))
        images = images_of(rows, measures, measured).beside(usual_side_px)
        issues = issues_of(images, settings.quality)
        tally.add(rows, images, issues)
        columns = {"issues": _issue_lists(issues, rows.num_rows), **measure_columns(measures)}
        plain = pa.table({name: columns[name] for name in QUALITY_SCHEMA.names if name != "id"})
        plain = plain.cast(pa.schema([field for field in QUALITY_SCHEMA if field.name != "id"]))
        # A piece may begin with variants of the last image of the one before it.
        values = plain if last is None else pa.concat_tables([last, plain])
        told = values.take(pa.array(is_plain.cumsum() - (last is None)))
        last = values.slice(values.num_rows - 1)
        yield told.add_column(0, "id", piece["id"])


def _issue_lists(issues: dict[str, NDArray[np.bool_]], images: int) -> pa.Array:
    names = list(issues)
    found = np.stack([issues[name] for name in names], axis=1).reshape(images, len(names))
    offsets = np.concatenate([[0], found.sum(axis=1).cumsum()])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(np.array(names, object)[np.nonzero(found)[1]], pa.string())
    )


def _baseline_statistics(
    store: Store, baseline: IndexHead, before: QualityStatistics | None, kept: KeptMeasures
) -> DatasetStatistics:
    """Return the statistics of the snapshot to compare with: as they were last counted, or counted again."""
    if before is not None and before.head.method == METHOD:
        head = before.head
        if baseline.is_followed_by(head):
            return before.whole
        same = (head.baseline_number, head.baseline_digest) == (baseline.number, baseline.digest)
        # Otherwise more of it may have been measured since.
        if same and before.baseline is not None and before.baseline.measured == before.baseline.images:
            return before.baseline
    return summed(tally_index(store, baseline, kept).shards.values())


def _judge(settings: Settings, store: Store, statistics: QualityStatistics) -> tuple[Verdict, ...]:
    head = statistics.head
    near, note = _near_duplicates(settings, store, head)
    baseline = None
    if statistics.baseline is not None:
        same_recipe = head.baseline_recipe_id == head.recipe_id
        baseline = Baseline(head.baseline_number, statistics.baseline, same_recipe)
    evidence = QualityEvidence(
        statistics=statistics.whole,
        shards=statistics.shards,
        exact_duplicates=head.exact_duplicates,
        near_duplicates=near,
        duplicates_note=note,
        baseline=baseline,
        baseline_note=head.baseline_note,
        baseline_is_lost=head.baseline_is_lost,
        labels_wanted=settings.labels.kind != "none",
    )
    return tuple(check(evidence, settings.quality) for check in QUALITY_CHECKS.values())


def _near_duplicates(settings: Settings, store: Store, head: QualityHead) -> tuple[int | None, str]:
    """Return how many images look like another one, or None and why that is not known."""
    groups = read_duplicates_head(store)
    if groups is not None and (groups.index_number, groups.index_digest) == (head.index_number, head.index_digest):
        return groups.exact + groups.near, ""
    if not settings.duplicates.enabled:
        return None, "near duplicates are not looked for (duplicates.enabled: false)"
    return None, "the groups of duplicates are not those of this index; `image-assets duplicates` finds them"


def statistics_facts(statistics: DatasetStatistics) -> dict[str, Any]:
    """Return the counts of a part of a dataset, ready for JSON."""
    channels = statistics.channel_statistics
    return {
        "images": statistics.images,
        "channel_mean": list(channels.mean) if channels else [],
        "channel_std": list(channels.std) if channels else [],
        "labels": dict(statistics.labels),
        "unlabelled": statistics.unlabelled,
        "issues": dict(statistics.issues),
    }
