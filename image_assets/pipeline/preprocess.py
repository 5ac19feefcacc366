"""Bring shards up to date: plan, work, audit, commit; each shard on its own, all through one engine."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.checks.base import Verdict
from image_assets.core.errors import CommitConflictError
from image_assets.core.listing import fingerprint_of
from image_assets.core.manifest import MANIFEST_SCHEMA, Counts, Manifest, ManifestHead
from image_assets.core.planning import ShardPlan, plan_shard
from image_assets.core.sample import FAILED
from image_assets.engines.base import Engine, Lost
from image_assets.pipeline.audit import audit_shard
from image_assets.pipeline.detect import State
from image_assets.pipeline.previous import known_failures, live_segments, previous_manifest
from image_assets.pipeline.work import CHANGED, KEPT, MOVED, NEW, Preprocessor, Task, TaskResult
from image_assets.storage.contents import ContentIndexFile
from image_assets.storage.manifests import commit_manifest, keep_rejected
from image_assets.storage.segments import iter_segments
from image_assets.storage.store import Store

# A task is what a dead worker costs, and what the workers wait for at the end of a run: 1/64 of it, within limits. It
# is also a segment, so that it must not be small without need.
TASKS_A_RUN = 64
LEAST_TASK_IMAGES, MOST_TASK_IMAGES = 32, 256
TASK_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What became of one shard in this run.

    ``head`` is that of its manifest: the committed one, or the refused candidate when not ``published``.
    ``counts`` are of this run; an ``unchanged`` shard's images are all kept.
    """

    shard: str
    head: ManifestHead
    counts: Counts
    verdicts: tuple[Verdict, ...]
    published: bool
    unchanged: bool = False
    failures: pa.Table = field(default_factory=MANIFEST_SCHEMA.empty_table)


class ShardConflictsError(CommitConflictError):
    """Other runs committed these shards first; look at the source again and plan them anew."""

    def __init__(self, shards: Sequence[str]) -> None:
        super().__init__(f"other runs committed {', '.join(shards)} first")
        self.shards = tuple(shards)


def preprocess_shards(
    state: State, shards: Sequence[str], engine: Engine, *, recheck: bool = False
) -> Iterator[ShardReport]:
    """Yield a report for each shard as it is done: committed, refused by its checks, or unchanged.

    Args:
        state: what the source wants and what was committed before it was listed.
        recheck: plan every shard, also one whose last commit covers what the listing wants.

    Raises:
        ShardConflictsError: at the end, when other runs were faster with some shards; the rest are done.
        StoreError, SourceError, EngineError: something is wrong with more than one image.
    """
    touched = [shard for shard in shards if recheck or state.is_touched(shard)]
    for shard in shards:
        if shard not in touched:
            yield unchanged_report(state.heads[shard])
    if touched:
        store = Store(state.settings.store)
        recipe_id = state.wanted.recipe_id
        with ContentIndexFile(store, recipe_id, live_segments(store, state.base())) as contents:
            failures = known_failures(store, state.base(), touched, recipe_id)
            function = Preprocessor(state.settings, recipe_id, contents, failures)
            yield from _Run(state, store, engine, function).shards(touched)


def unchanged_report(head: ManifestHead) -> ShardReport:
    """Return the report of a shard that this run had nothing to do for."""
    return ShardReport(head.shard, head, Counts(kept=head.images), (), published=True, unchanged=True)


@dataclass(slots=True)
class _Pending:
    """A shard on its way through the engine."""

    plan: ShardPlan
    listed: int
    tasks: int
    started_at: float
    results: list[TaskResult] = field(default_factory=list)


class _Run:
    """The shards of one call of :func:`preprocess_shards`."""

    def __init__(self, state: State, store: Store, engine: Engine, function: Preprocessor) -> None:
        self._state = state
        self._store = store
        self._engine = engine
        self._function = function
        self._present = frozenset(iter_segments(store, state.wanted.recipe_id))
        self._pending: dict[str, _Pending] = {}
        self._finished: deque[str] = deque()
        self._conflicts: list[str] = []

    def shards(self, shards: Sequence[str]) -> Iterator[ShardReport]:
        tasks: Iterator[Task] = self._tasks(shards)
        while True:
            lost: list[Lost[Task]] = []
            for outcome in self._engine.map(self._function, tasks):
                yield from self._reports()
                if isinstance(outcome, Lost):
                    lost.append(outcome)
                else:
                    self._take(outcome.task.shard, outcome.result)
            yield from self._reports()
            if not lost:
                break
            tasks = iter([task for item in lost for task in self._retries(item)])
        if self._conflicts:
            raise ShardConflictsError(self._conflicts)

    def _tasks(self, shards: Sequence[str]) -> Iterator[Task]:
        """Plan one shard after the other, as the engine asks for work."""
        listed = sum(self._state.wanted.listing.shard(shard).num_rows for shard in shards)
        task_images = min(max(listed // TASKS_A_RUN, LEAST_TASK_IMAGES), MOST_TASK_IMAGES)
        for shard in shards:
            rows = self._state.wanted.listing.shard(shard)
            previous = previous_manifest(self._store, shard, self._state)
            plan = plan_shard(shard, rows, previous, self._state.wanted.recipe_id, self._present)
            tasks = [Task(shard, piece) for piece in _pieces(plan.work, task_images)]
            self._pending[shard] = _Pending(plan, rows.num_rows, len(tasks), time.monotonic())
            if not tasks:
                self._finished.append(shard)
            yield from tasks

    def _take(self, shard: str, result: TaskResult) -> None:
        pending = self._pending[shard]
        pending.results.append(result)
        pending.tasks -= 1
        if not pending.tasks:
            self._finished.append(shard)

    def _retries(self, lost: Lost[Task]) -> list[Task]:
        """Return what to do again: the image that the worker died on alone, and the others; or blame it."""
        work, shard = lost.task.work, lost.task.shard
        if work.num_rows == 1:
            self._take(shard, _guilty(work, lost))
            return []
        alone = work.slice(lost.position, 1)
        others = pa.concat_tables([work.slice(0, lost.position), work.slice(lost.position + 1)])
        self._pending[shard].tasks += 1
        return [Task(shard, alone), Task(shard, others)]

    def _reports(self) -> Iterator[ShardReport]:
        while self._finished:
            shard = self._finished.popleft()
            try:
                yield self._finish(shard, self._pending.pop(shard))
            except CommitConflictError:
                self._conflicts.append(shard)

    def _finish(self, shard: str, pending: _Pending) -> ShardReport:
        manifest = self._manifest(shard, pending)
        vanished = sum(result.vanished for result in pending.results)
        verdicts = audit_shard(self._state.settings, self._store, manifest, (pending.listed, vanished, self._present))
        published = not any(verdict.blocks for verdict in verdicts)
        if published:
            commit_manifest(self._store, manifest)
        else:
            keep_rejected(self._store, manifest)
        looked_at = [result.rows for result in pending.results]
        failures = pa.concat_tables([MANIFEST_SCHEMA.empty_table(), *looked_at])
        failures = failures.filter(pc.equal(failures["status"], FAILED))
        return ShardReport(shard, manifest.head, manifest.head.counts, verdicts, published, failures=failures)

    def _manifest(self, shard: str, pending: _Pending) -> Manifest:
        rows = pa.concat_tables([pending.plan.keep, *(result.rows for result in pending.results)])
        rows = rows.take(pc.sort_indices(rows, [("bucket", "ascending"), ("key", "ascending")])).combine_chunks()
        before = self._state.heads.get(shard)
        head = ManifestHead(
            dataset=self._state.settings.name,
            shard=shard,
            number=(before.number if before is not None else 0) + 1,
            after_index=self._state.index.number if self._state.index is not None else 0,
            recipe_id=self._state.wanted.recipe_id,
            # Of what was read, not of what was listed: a file that changed in between is covered as it was read.
            fingerprint=fingerprint_of(rows),
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            images=rows.num_rows,
            failed_images=int(pc.sum(pc.equal(rows["status"], FAILED).cast(pa.int64())).as_py() or 0),
            output_bytes=int(pc.sum(rows["output_bytes"]).as_py() or 0),
            processing_time_sec=round(time.monotonic() - pending.started_at, 3),
            counts=_counts(pending),
        )
        return Manifest(head, rows)


def _counts(pending: _Pending) -> Counts:
    went = {how: sum(result.outcomes[how] for result in pending.results) for how in (NEW, CHANGED, KEPT, MOVED)}
    return Counts(
        new=went[NEW],
        changed=went[CHANGED],
        kept=went[KEPT] + pending.plan.keep.num_rows,
        moved=went[MOVED],
        removed=pending.plan.removed,
        failed=sum(result.failed for result in pending.results),
        decoded=sum(result.decoded for result in pending.results),
        relabelled=pending.plan.relabelled,
    )


def _pieces(work: pa.Table, task_images: int) -> Iterator[pa.Table]:
    """Cut a shard's work into tasks; the cuts depend on the listing alone, not on the number of workers."""
    first, size_bytes = 0, 0
    for position, size in enumerate(work["size_bytes"].to_pylist()):
        if position > first and (position - first >= task_images or size_bytes + size > TASK_BYTES):
            yield work.slice(first, position - first)
            first, size_bytes = position, 0
        size_bytes += size
    if first < work.num_rows:
        yield work.slice(first)


def _guilty(work: pa.Table, lost: Lost[Task]) -> TaskResult:
    """Return the row of an image that ended its worker when it was alone there."""
    image = work.to_pylist()[0]
    row = {name: image[name] for name in ("key", "bucket", "version", "size_bytes", "label")}
    row |= {"status": FAILED, "reason": lost.reason, "detail": lost.detail, "variants": 0, "output_bytes": 0}
    row["sha256"] = image["before_sha256"] if image["same_bytes"] else None
    outcomes = {**dict.fromkeys((NEW, CHANGED, KEPT, MOVED), 0), CHANGED if image["known_key"] else NEW: 1}
    rows = pa.Table.from_pylist([row], schema=MANIFEST_SCHEMA)
    return TaskResult(rows, outcomes, failed=1, decoded=1, vanished=0)
