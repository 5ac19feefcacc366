"""What a run would do: the same detection and planning, reading what changed, writing nothing."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from image_assets.core.errors import SourceFileError, VanishedError
from image_assets.core.manifest import Counts
from image_assets.core.planning import ShardPlan, plan_shard
from image_assets.pipeline.detect import State, detect
from image_assets.pipeline.preprocess import unchanged_report
from image_assets.pipeline.previous import known_failures, live_segments, previous_manifest
from image_assets.pipeline.work import CHANGED, KEPT, MOVED, NEW, how_same
from image_assets.settings import Settings
from image_assets.sources import build_source
from image_assets.storage.contents import ContentIndex, ContentIndexFile
from image_assets.storage.identity import look_into_store
from image_assets.storage.segments import iter_segments


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a run would do. ``counts.failed`` is 0: what fails shows only when it is decoded.

    ``read_bytes`` are the raw bytes a run would read, ``touched`` the shards it would commit.
    """

    counts: Counts
    shards_total: int
    touched: tuple[str, ...]
    read_bytes: int


def plan_dataset(settings: Settings, *, allow_deletes: bool = False) -> PlanReport:
    """Return what :func:`image_assets.pipeline.run.run_dataset` would do now.

    New and changed files are read and hashed, since only their bytes tell a new image from a renamed one.

    Raises:
        ImageAssetsError: as a run would.
    """
    state = detect(settings, allow_deletes=allow_deletes)
    touched = state.touched()
    counts = sum(
        (unchanged_report(head).counts for shard, head in state.heads.items() if shard not in touched), Counts()
    )
    store = look_into_store(settings)
    recipe_id = state.wanted.recipe_id
    with ContentIndexFile(store, recipe_id, live_segments(store, state.base())) as contents:
        failures = known_failures(store, state.base(), touched, recipe_id)
        foresight = _Foresight(state, contents, set(failures))
        present = frozenset(iter_segments(store, recipe_id))
        for shard in touched:
            rows = state.wanted.listing.shard(shard)
            plan = plan_shard(shard, rows, previous_manifest(store, shard, state), recipe_id, present)
            counts += foresight.counts(plan)
    return PlanReport(counts, settings.num_shards, tuple(touched), foresight.read_bytes)


class _Foresight:
    """Tells how each image of a plan would go, the way a worker decides it."""

    def __init__(self, state: State, contents: ContentIndex, failures: set[str]) -> None:
        self._source = build_source(state.settings.source)
        self._max_bytes = state.settings.limits.max_file_bytes
        self._contents = contents
        self._known = failures
        self.read_bytes = 0

    def counts(self, plan: ShardPlan) -> Counts:
        went: Counter[str] = Counter()
        decoded = 0
        for work in plan.work.to_pylist():
            sha256 = work["before_sha256"] if work["same_bytes"] else None
            try:
                if sha256 is None:
                    data = self._source.read(work["key"], work["locator"], max_bytes=self._max_bytes).data
                    self.read_bytes += len(data)
                    sha256 = hashlib.sha256(data).hexdigest()
                how, decodes = self._how(work, sha256)
                if decodes and work["same_bytes"]:
                    self.read_bytes += work["size_bytes"]
            except VanishedError:
                continue
            except SourceFileError:
                how, decodes = (CHANGED if work["known_key"] else NEW), False
            went[how] += 1
            decoded += decodes
        return Counts(
            new=went[NEW],
            changed=went[CHANGED],
            kept=went[KEPT] + plan.keep.num_rows,
            moved=went[MOVED],
            removed=plan.removed,
            decoded=decoded,
            relabelled=plan.relabelled,
        )

    def _how(self, work: dict[str, Any], sha256: str) -> tuple[str, bool]:
        found = self._contents.find(sha256)
        live = sha256 in self._known or (found is not None and found.live)
        reusable = live or found is not None
        self._known.add(sha256)
        if reusable and work["known_key"] and work["before_sha256"] == sha256:
            return how_same(work), False
        if live:
            return MOVED, False
        if work["known_key"] and work["before_sha256"] == sha256:
            return how_same(work), True
        return (CHANGED if work["known_key"] else NEW), not reusable
