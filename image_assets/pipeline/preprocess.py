"""Bring shards up to date: plan, work, audit, commit; each shard on its own, all through one engine."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.checks.base import Verdict
from image_assets.core.errors import CommitConflictError
from image_assets.core.listing import UNKNOWN_SIZE
from image_assets.core.manifest import MANIFEST_SCHEMA, Counts, Manifest, ManifestHead, what_rows_say
from image_assets.core.planning import WORK_SCHEMA, ShardPlan, plan_shard, twin_sizes
from image_assets.core.sample import FAILED
from image_assets.engines.base import Engine, Lost
from image_assets.pipeline.audit import audit_shard
from image_assets.pipeline.claims import LocalClaims
from image_assets.pipeline.detect import State, refuse_vanished
from image_assets.pipeline.far_lookups import answered
from image_assets.pipeline.outputs import Row
from image_assets.pipeline.previous import known_before, previous_manifest
from image_assets.pipeline.progress import Stage, stage
from image_assets.pipeline.tasks import RunContext, Task, TaskResult
from image_assets.pipeline.work import Preprocessor
from image_assets.storage.forgotten import forgotten_marks
from image_assets.storage.manifests import commit_manifest, drop_rejected, keep_rejected
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store

# A task is what a dead worker costs, and what the workers wait for at the end of a run: 1/64 of it, within limits. It
# is also a segment, so that it must not be small without need.
TASKS_A_RUN = 64
LEAST_TASK_IMAGES, MOST_TASK_IMAGES = 32, 256
TASK_BYTES = 32 * 2**20
_AVERAGE_BYTES = 100_000


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


def preprocess_shards(state: State, shards: Sequence[str], engine: Engine) -> Iterator[ShardReport]:
    """Yield a report for each shard as it is done: committed, refused by its checks, or unchanged.

    Args:
        state: what the source wants and what was committed before it was listed.

    Raises:
        ShardConflictsError: at the end, when other runs were faster with some shards; the rest are done.
        StoreError, SourceError, EngineError: something is wrong with more than one image.
    """
    needed = {shard: state.must_run(shard) for shard in shards}
    touched = [shard for shard in shards if needed[shard]]
    quiet = [shard for shard in shards if not needed[shard]]
    store = Store(state.settings.store)
    drop_rejected(store, quiet)
    for shard in quiet:
        yield unchanged_report(state.heads[shard])
    if touched:
        with known_before(store, state, touched) as known, scratch_folder() as folder:
            started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            with closing(LocalClaims.create(folder / "claims.sqlite")) as claims:
                context = RunContext(state.settings, state.wanted.recipe_id, started_at, claims)
                reached = answered(context, known, claims) if engine.far else nullcontext((context, known))
                with reached as given:
                    yield from _Run(state, store, engine, Preprocessor(*given)).shards(touched)


def bytes_to_do(state: State, shards: Sequence[str]) -> int:
    """Return what the images weigh that a run of some shards looks into; an unknown size counts as an average one.

    Raises:
        StoreError: a manifest is damaged.
    """
    store, rules = Store(state.settings.store), state.rules(np.empty(0, np.int64))
    total = 0
    for shard in filter(state.must_run, shards):
        rows = state.wanted.listing.shard(shard)
        sizes = plan_shard(shard, rows, previous_manifest(store, shard, state), rules).work["size_bytes"].to_numpy()
        total += int(np.where(sizes == UNKNOWN_SIZE, _AVERAGE_BYTES, sizes).sum())
    return total


def unchanged_report(head: ManifestHead) -> ShardReport:
    """Return the report of a shard that this run had nothing to do for."""
    return ShardReport(head.shard, head, Counts(kept=head.images), (), published=True, unchanged=True)


@dataclass(slots=True)
class _Pending:
    """A shard on its way through the engine; ``open`` counts its tasks that are not back, or are still to be given."""

    plan: ShardPlan
    listed: int
    open: int
    started_at: float
    results: list[TaskResult] = field(default_factory=list)


class _Run:
    """The shards of one call of :func:`preprocess_shards`."""

    def __init__(self, state: State, store: Store, engine: Engine, function: Preprocessor) -> None:
        self._state = state
        self._store = store
        self._engine = engine
        self._function = function
        self._pending: dict[str, _Pending] = {}
        self._finished: deque[str] = deque()
        self._conflicts: list[str] = []
        # Work that goes round again, which images wait for which task, and what became of the tasks.
        self._again: deque[tuple[str, pa.Table]] = deque()
        self._waiting: dict[int, list[tuple[str, pa.Table]]] = {}
        self._given = 0
        # Images of the dataset that were listed and gone when they were read.
        self._gone = 0
        self._in_flight: set[int] = set()
        self._lost: set[int] = set()
        # Keys of images that a worker died on.
        self._suspects: set[str] = set()

    def shards(self, shards: Sequence[str]) -> Iterator[ShardReport]:
        with stage("preprocess", "images") as told:
            yield from self._shards(shards, told)

    def _shards(self, shards: Sequence[str], told: Stage) -> Iterator[ShardReport]:
        told.set_total(sum(self._state.wanted.listing.shard(shard).num_rows for shard in shards))
        tasks: Iterator[Task] = self._tasks(shards, told)
        while True:
            for outcome in self._engine.map(self._function, tasks):
                yield from self._reports()
                self._in_flight.discard(outcome.task.number)
                if isinstance(outcome, Lost):
                    self._lost.add(outcome.task.number)
                    self._retry(outcome)
                else:
                    self._take(outcome.task.shard, outcome.result)
                    told.advance(outcome.task.work.num_rows - len(outcome.result.deferred))
                self._again.extend(self._waiting.pop(outcome.task.number, ()))
            yield from self._reports()
            if not self._again:
                break
            tasks = self._tasks((), told)
        if self._conflicts:
            raise ShardConflictsError(self._conflicts)

    def _tasks(self, shards: Sequence[str], told: Stage) -> Iterator[Task]:
        """Plan one shard after the other, as the engine asks for work; what goes round again comes first."""
        listing = self._state.wanted.listing
        sizes = [listing.shard(shard)["size_bytes"].to_numpy() for shard in shards]
        listed = np.concatenate([np.empty(0, np.int64), *sizes])
        del sizes
        rules = self._state.rules(twin_sizes(listed))
        task_images = min(max(len(listed) // TASKS_A_RUN, LEAST_TASK_IMAGES), MOST_TASK_IMAGES)
        del listed
        for shard in shards:
            rows = listing.shard(shard)
            plan = plan_shard(shard, rows, previous_manifest(self._store, shard, self._state), rules)
            pieces = list(_pieces(plan.work, task_images))
            self._pending[shard] = _Pending(plan, rows.num_rows, len(pieces), time.monotonic())
            # What is kept as it is takes no time.
            told.leave_out(plan.keep.num_rows)
            if not pieces:
                self._finished.append(shard)
            for piece in pieces:
                yield from self._repeated()
                yield self._task(shard, piece)
        yield from self._repeated()

    def _repeated(self) -> Iterator[Task]:
        while self._again:
            yield self._task(*self._again.popleft())

    def _task(self, shard: str, work: pa.Table) -> Task:
        self._given += 1
        self._in_flight.add(self._given)
        return Task(self._given, shard, work, frozenset(self._lost))

    def _take(self, shard: str, result: TaskResult) -> None:
        pending = self._pending[shard]
        pending.results.append(result)
        pending.open -= 1
        owners: dict[int, list[Row]] = {}
        for work, owner in result.deferred:
            owners.setdefault(owner, []).append(work)
        for owner, works in owners.items():
            item = (shard, pa.Table.from_pylist(works, schema=WORK_SCHEMA))
            # A task that is back has written what it made; if it made nothing after all, its claims are free.
            if owner not in self._in_flight:
                self._lost.add(owner)
            (self._waiting.setdefault(owner, []) if owner in self._in_flight else self._again).append(item)
            pending.open += 1
        if not pending.open:
            self._finished.append(shard)

    def _retry(self, lost: Lost[Task]) -> None:
        """Have a lost task done again: the image that the worker died on alone, and the others; or blame it.

        An image is blamed for the second death: the first may have been somebody else's, or of no memory left.
        """
        work, shard = lost.task.work, lost.task.shard
        suspect = work["key"][lost.position].as_py()
        if work.num_rows == 1 and suspect in self._suspects:
            task = Task(lost.task.number, shard, work, frozenset(self._lost))
            self._take(shard, self._function.blame(task, lost.reason, lost.detail))
            return
        alone = work.slice(lost.position, 1)
        others = pa.concat_tables([work.slice(0, lost.position), work.slice(lost.position + 1)])
        self._suspects.add(suspect)
        again = [(shard, piece) for piece in (alone, others) if piece.num_rows]
        # The lost task is still counted.
        self._pending[shard].open += len(again) - 1
        self._again.extend(again)

    def _reports(self) -> Iterator[ShardReport]:
        while self._finished:
            shard = self._finished.popleft()
            try:
                yield self._finish(shard, self._pending.pop(shard))
            except CommitConflictError:
                self._conflicts.append(shard)

    def _finish(self, shard: str, pending: _Pending) -> ShardReport:
        self._gone += sum(result.lost for result in pending.results)
        refuse_vanished(self._state, self._gone)
        manifest = self._manifest(shard, pending)
        vanished = sum(result.vanished for result in pending.results)
        seen = (pending.listed, vanished, self._state.present)
        verdicts = audit_shard(self._state.settings, self._store, manifest, seen)
        published = not any(verdict.blocks for verdict in verdicts)
        if forgotten_marks(self._store) != self._function.forgotten:
            raise CommitConflictError(f"images were forgotten while shard {shard} was made")
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
        kept = Counts(kept=pending.plan.keep.num_rows, removed=pending.plan.removed, relabelled=pending.plan.relabelled)
        head = ManifestHead(
            dataset=self._state.settings.name,
            shard=shard,
            number=(before.number if before is not None else 0) + 1,
            after_index=self._state.index.number if self._state.index is not None else 0,
            recipe_id=self._state.wanted.recipe_id,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            processing_time_sec=round(time.monotonic() - pending.started_at, 3),
            counts=sum((result.counts for result in pending.results), kept),
            busy_sec=round(sum(result.busy_sec for result in pending.results), 3),
            **what_rows_say(rows),
        )
        return Manifest(head, rows)


def _pieces(work: pa.Table, task_images: int) -> Iterator[pa.Table]:
    """Cut a shard's work into tasks; the cuts depend on the listing alone, not on the number of workers.

    A bucket is never cut: what is read in one go (a row group, a part of an archive) lies in one.
    """
    buckets = work["bucket"].to_numpy()
    # Of what has no known size, the number alone decides.
    size_bytes = np.concatenate([[0], np.cumsum(np.maximum(work["size_bytes"].to_numpy(), 0))])
    starts = [0, *(np.flatnonzero(np.diff(buckets)) + 1).tolist(), work.num_rows]
    first = 0
    for start, end in pairwise(starts):
        if start > first and (end - first > task_images or size_bytes[end] - size_bytes[first] > TASK_BYTES):
            yield work.slice(first, start - first)
            first = start
    if first < work.num_rows:
        yield work.slice(first)
