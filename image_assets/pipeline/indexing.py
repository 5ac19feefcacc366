"""Assemble the training index from the last commits, check it, publish it; nothing when it is already that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.checks import INDEX_CHECKS
from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.core.errors import CommitConflictError, DatasetError
from image_assets.core.hashes import hash_words
from image_assets.core.index import (
    IN_DIGEST,
    INDEX_SCHEMA,
    OUTPUTS_A_FRAME,
    IndexHead,
    digest_of,
    index_rows,
    manifest_columns,
)
from image_assets.core.manifest import ManifestHead
from image_assets.core.sample import OK
from image_assets.core.sharding import shard_names
from image_assets.pipeline.additions import added_words, make_additions, wanted_additions
from image_assets.pipeline.detect import committed_heads, is_outdated
from image_assets.pipeline.label_overrides import label_overrides
from image_assets.pipeline.metrics import run_metrics
from image_assets.pipeline.monitoring.steps import in_step
from image_assets.pipeline.new_contents import Outputs, RowSource, outputs_of_index
from image_assets.pipeline.split_counts import SplitCounts
from image_assets.settings import Settings
from image_assets.storage.identity import open_store
from image_assets.storage.indexes import (
    LEAST_GROUP_ROWS,
    StagedRows,
    mend_latest_copy,
    newest_index_head,
    publish_index,
    staged_index,
    staged_rows,
)
from image_assets.storage.locks import in_use
from image_assets.storage.manifests import read_rows
from image_assets.storage.store import Store
from image_assets.storage.tables import join_tables
from image_assets.storage.verdicts import keep_verdicts
from image_assets.storage.words import spooled_words

_TRIES = 5


@dataclass(frozen=True, slots=True)
class IndexReport:
    """The newest index after this step: published by it, kept as it was, or held back with the reason in ``why``."""

    head: IndexHead
    verdicts: tuple[Verdict, ...]
    published: bool
    why: str


@dataclass(frozen=True, slots=True)
class _New:
    """An index to be: what it is made of and has added, and the newest one that there is."""

    number: int
    heads: dict[str, ManifestHead]
    before: IndexHead | None
    added: dict[str, str]

    @property
    def recipe_id(self) -> str:
        """The recipe of all commits."""
        return next(iter(self.heads.values())).recipe_id


@in_step("index")
def build_index(settings: Settings, *, rejudge: bool = True) -> IndexReport:
    """Publish an index of the last commits, unless the newest one is that, or the commits are half of a change.

    Args:
        rejudge: also run the checks on an index that stays as it is; they read all of it.

    Raises:
        DatasetError: nothing was ever published and nothing can be now.
        StoreError: the store does not answer or a manifest is damaged.
    """
    with in_use(store := open_store(settings)):
        report = _bring_up_to_date(settings, store, rejudge=rejudge)
        keep_verdicts(store, report.head.number, {"training_index": report.verdicts}, at=datetime.now(UTC))
        return report


def _bring_up_to_date(settings: Settings, store: Store, *, rejudge: bool) -> IndexReport:
    for _ in range(_TRIES):
        # The number is taken before the commits are looked at: an index of older commits then never gets a newer one.
        before = newest_index_head(store)
        number = before.number if before is not None else 0
        heads = committed_heads(store, shard_names(settings.num_shards))
        hindrance = _hindrance(settings, heads, before)
        if before is not None and (hindrance or _is_built_from(before, heads, wanted_additions(settings, store))):
            mend_latest_copy(store, number)
            why = hindrance or "nothing changed"
            rows = outputs_of_index(store, before).rows
            verdicts = judge_index(settings, store, before, rows) if rejudge else ()
            return IndexReport(before, verdicts, published=False, why=why)
        if hindrance:
            raise DatasetError(hindrance)
        try:
            return _publish(settings, store, number + 1, heads, before)
        except CommitConflictError:
            continue
    raise CommitConflictError(f"other runs published an index first, {_TRIES} times; run again")


def judge_index(settings: Settings, store: Store, head: IndexHead, rows: RowSource) -> tuple[Verdict, ...]:
    """Return every index check's verdict.

    Args:
        rows: the index's, as they were written.

    Raises:
        StoreError: the store does not answer or a manifest is damaged.
    """
    promised = 0
    for images in read_rows(store, list(head.commits.items()), ["status", "variants"], images=head.rows):
        promised += pc.sum(images.filter(pc.equal(images["status"], OK))["variants"]).as_py() or 0
    splits = SplitCounts(settings.splits)
    with spooled_words() as ids:
        for piece in rows(["id", *splits.columns]):
            ids.add(hash_words(piece["id"].to_pylist()))
            splits.count(piece)
        found, different = ids.count()
    missing = tuple(shard for shard in shard_names(settings.num_shards) if shard not in head.commits)
    evidence = IndexEvidence(head, promised, found, different, missing, splits.evidence())
    return tuple(check(evidence, settings.checks) for check in INDEX_CHECKS.values())


def _hindrance(settings: Settings, heads: dict[str, ManifestHead], before: IndexHead | None) -> str:
    """Return why these commits must not become an index yet, or nothing.

    A changed recipe or number of shards arrives shard by shard; readers see all of it or none.
    """
    if not heads:
        return "no shard was published yet; `image-assets run` does it (in Dagster: materialize image_shards)"
    if len({head.recipe_id for head in heads.values()}) > 1:
        return "a changed recipe has not reached every shard yet; the index stays as it is until it has"
    missing = [shard for shard in shard_names(settings.num_shards) if shard not in heads]
    if before is not None and before.num_shards != settings.num_shards:
        missing += [shard for shard, head in heads.items() if is_outdated(head, before, settings.num_shards)]
        if missing:
            return (
                f"a changed number of shards has not reached every shard yet ({', '.join(sorted(missing)[:4])}); "
                "the index stays as it is until it has"
            )
    return ""


def _publish(
    settings: Settings, store: Store, number: int, heads: dict[str, ManifestHead], before: IndexHead | None
) -> IndexReport:
    """Publish an index; its rows are gone through several times and never held."""
    overrides = label_overrides(store)
    new = _New(number, heads, before, added_words(settings, overrides.version))
    if not new.added:
        return _publish_rows(settings, store, new, partial(_pieces, store, heads))
    # Written once, as it is gone through often.
    with staged_rows(map(overrides.apply, _pieces(store, heads, INDEX_SCHEMA.names))) as staged:
        additions = make_additions(settings, Outputs(store, new.recipe_id, staged))
        rows: RowSource = staged if additions is None else lambda _: additions.add(staged())
        return _publish_rows(settings, store, new, rows)


def _publish_rows(settings: Settings, store: Store, new: _New, pieces: RowSource) -> IndexReport:
    # The digest stands in the file's head, so it is there before the rows are.
    rows, digest = digest_of(pieces(list(IN_DIGEST)))
    head = IndexHead(
        dataset=settings.name,
        number=new.number,
        digest=digest,
        rows=rows,
        recipe_id=new.recipe_id,
        num_shards=settings.num_shards,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        commits=_commits(new.heads),
        data_versions={shard: head.data_version for shard, head in new.heads.items()},
        totals=_totals(settings, new.heads),
        added=new.added,
    )
    with staged_index(head, pieces(INDEX_SCHEMA.names)) as staged:
        verdicts = judge_index(settings, store, head, StagedRows(staged))
        refused = " ".join(verdict.sentence for verdict in verdicts if verdict.blocks)
        if not refused:
            publish_index(store, new.number, staged)
            return IndexReport(head, verdicts, published=True, why="")
    if new.before is None:
        raise DatasetError(f"the index was not published: {refused}")
    return IndexReport(new.before, verdicts, published=False, why=f"not published: {refused}")


def _totals(settings: Settings, heads: dict[str, ManifestHead]) -> dict[str, Any]:
    totals = run_metrics(settings, list(heads.values()), missing_shards=settings.num_shards - len(heads))
    if settings.image.frames == "all":
        totals[OUTPUTS_A_FRAME] = settings.augment.variants + 1
    return totals


def _pieces(store: Store, heads: dict[str, ManifestHead], names: Sequence[str]) -> Iterator[pa.Table]:
    images = sum(head.images for head in heads.values())
    found = read_rows(store, list(_commits(heads).items()), manifest_columns(names), images=images)
    # Small shards together: what a call costs is as much as what hundreds of rows do.
    for rows in join_tables(found, LEAST_GROUP_ROWS):
        yield index_rows(rows, names)


def _is_built_from(index: IndexHead, heads: dict[str, ManifestHead], added: dict[str, str]) -> bool:
    # The versions too: a commit that somebody deleted is made again under its number.
    versions = {shard: head.data_version for shard, head in heads.items()}
    return (index.commits, index.data_versions, index.added) == (_commits(heads), versions, added)


def _commits(heads: dict[str, ManifestHead]) -> dict[str, int]:
    return {shard: head.number for shard, head in heads.items()}
