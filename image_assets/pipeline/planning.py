"""What a run would do: the same detection and planning, reading what changed, writing nothing."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from image_assets.core.errors import SourceFileError, VanishedError
from image_assets.core.forgetting import forgotten_mark
from image_assets.core.listing import UNKNOWN_SIZE
from image_assets.core.manifest import Counts
from image_assets.core.planning import ShardPlan, is_reencoded, plan_shard, way_of
from image_assets.pipeline.detect import PLAIN_RUN, RunOptions, State, detect
from image_assets.pipeline.foresight import VectorsToCome, estimate_seconds
from image_assets.pipeline.hash_sets import HashSet
from image_assets.pipeline.preprocess import unchanged_report
from image_assets.pipeline.previous import known_before, previous_manifest
from image_assets.pipeline.progress import stage
from image_assets.pipeline.tasks import Known
from image_assets.settings import Settings
from image_assets.sources import build_source
from image_assets.sources.base import PrefetchingSource
from image_assets.storage.identity import look_into_store
from image_assets.storage.store import Store

# A shard's work becomes Python objects in pieces: an image's takes two kilobytes.
_IMAGES_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a run would do.

    ``counts.failed`` is 0: what fails shows only when it is decoded, and then has no vector. ``embedded`` output
    images would get one: fewer when one comes out equal to another that has it (a new recipe need not change every
    output), more with ``image.frames: all``, where a new image counts as one frame. ``touched`` are the shards that
    the run would commit. When the recipe changes while copies of old images arrive, ``read_bytes`` depends on which
    copy a worker meets first, and can differ a little.
    """

    counts: Counts
    shards_total: int
    touched: tuple[str, ...]
    embedded: int
    estimated_sec: float


def plan_dataset(settings: Settings, options: RunOptions = PLAIN_RUN) -> PlanReport:
    """Return what :func:`image_assets.pipeline.run.run_dataset` would do now.

    New and changed files are read and hashed, since only their bytes tell a new image from a renamed one.

    Raises:
        ImageAssetsError: as a run would.
    """
    with stage("list the source"):
        state = detect(settings, options)
    store = look_into_store(settings)
    shards = list(state.wanted.fingerprints)
    touched = [shard for shard in shards if state.must_run(shard)]
    quiet = [state.heads[shard] for shard in shards if not state.must_run(shard)]
    counts = sum((unchanged_report(head).counts for head in quiet), Counts())
    vectors = VectorsToCome(settings, store, state)
    # What is known is read from every segment, so not where nothing is asked of it.
    if touched:
        with known_before(store, state, touched) as known:
            foresight = _Foresight(state, known, vectors)
            for plan in _plans(store, state, touched):
                counts += foresight.counts(plan)
    for head in quiet:
        vectors.add_commit(head)
    embedded = vectors.count()
    seconds = estimate_seconds(settings, state, asdict(counts) | {"embedded": embedded})
    return PlanReport(counts, settings.num_shards, tuple(touched), embedded, seconds)


def _plans(store: Store, state: State, shards: Iterable[str]) -> Iterable[ShardPlan]:
    # Who does shared bytes does not matter for what is done.
    rules = state.rules(np.empty(0, np.int64))
    for shard in shards:
        rows = state.wanted.listing.shard(shard)
        yield plan_shard(shard, rows, previous_manifest(store, shard, state), rules)


class _Foresight:
    """Tells how each image of a plan would go, the way a worker decides it."""

    def __init__(self, state: State, known: Known, vectors: VectorsToCome) -> None:
        self._source = build_source(state.settings.source)
        self._max_bytes = state.settings.limits.max_file_bytes
        self._known = known
        self._vectors = vectors
        self._decoded = HashSet()

    def counts(self, plan: ShardPlan) -> Counts:
        self._vectors.add_rows(plan.keep)
        counts = Counts(kept=plan.keep.num_rows, removed=plan.removed, relabelled=plan.relabelled)
        for first in range(0, plan.work.num_rows, _IMAGES_AT_ONCE):
            works = plan.work.slice(first, _IMAGES_AT_ONCE).to_pylist()
            if isinstance(self._source, PrefetchingSource):
                reads = [(work["key"], work["locator"]) for work in works if work["sha256"] is None]
                self._source.prefetch(reads, max_bytes=self._max_bytes)
            counts += sum((self._image(work) for work in works), Counts())
        return counts

    def _image(self, work: dict[str, Any]) -> Counts:
        sha256, read, hashed = work["sha256"], 0, 0
        try:
            if sha256 is None:
                data = self._source.read(work["key"], work["locator"], max_bytes=self._max_bytes).data
                sha256, read, hashed = hashlib.sha256(data).hexdigest(), len(data), 1
            decodes = self._is_unknown(sha256)
            if decodes and not hashed:
                read = self._size_read(work)
        except VanishedError:
            return Counts()
        except SourceFileError:
            sha256, decodes = None, False
        if sha256 is not None and forgotten_mark(sha256) in self._known.forgotten:
            sha256, decodes = None, False
        if decodes:
            self._decoded.add([sha256])
            self._vectors.add_new()
        found = self._known.contents.find(sha256) if sha256 is not None else None
        failed = sha256 in self._known.failures
        live = failed or (found is not None and found.live)
        reencoded = not failed and found is None and is_reencoded(work, sha256)
        way = {way_of(work, sha256, live=live): 1}
        return Counts(**way, decoded=decodes, reencoded=reencoded, hashed=hashed, read_bytes=read)

    def _size_read(self, work: dict[str, Any]) -> int:
        """Return how many bytes a run would read of an image whose hash is known.

        Raises:
            SourceFileError: more than the present limit; or it cannot be read, where only reading tells the size.
            VanishedError: it is gone.
        """
        size_bytes: int = work["size_bytes"]
        if size_bytes == UNKNOWN_SIZE:
            return len(self._source.read(work["key"], work["locator"], max_bytes=self._max_bytes).data)
        if size_bytes > self._max_bytes:
            raise SourceFileError("too_large", f"{size_bytes} bytes, the limit is {self._max_bytes}")
        return size_bytes

    def _is_unknown(self, sha256: str) -> bool:
        """Return whether a run would decode these bytes: once, however many images have them."""
        if forgotten_mark(sha256) in self._known.forgotten:
            return False
        if (found := self._known.contents.find(sha256)) is not None:
            self._vectors.add_stored(found.segment, found.row)
            return False
        return sha256 not in self._decoded and sha256 not in self._known.failures
