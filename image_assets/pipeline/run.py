"""The whole job once: detect, preprocess what changed, index, vectors, exports."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from image_assets.core.errors import CommitConflictError
from image_assets.core.manifest import Counts
from image_assets.core.sharding import shard_names
from image_assets.engines import build_engine
from image_assets.engines.choosing import Choice, choose_engine
from image_assets.pipeline.detect import PLAIN_RUN, RunOptions, State, detect
from image_assets.pipeline.following import FollowReport, follow_index
from image_assets.pipeline.indexing import IndexReport, build_index
from image_assets.pipeline.listing_snapshots import source_lister
from image_assets.pipeline.logs import log_engine, log_listing, log_shard
from image_assets.pipeline.monitoring.steps import in_step, step, tell_shard
from image_assets.pipeline.preprocess import ShardConflictsError, ShardReport, bytes_to_do, preprocess_shards
from image_assets.pipeline.progress import stage
from image_assets.settings import Settings
from image_assets.storage.identity import open_store
from image_assets.storage.locks import in_use
from image_assets.storage.verdicts import keep_verdicts

# Runs that keep overtaking this one on the same shards mean that it is not needed.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one run did.

    ``index`` is None when nothing was ever published; ``followed`` are the reports of what is made of each index;
    ``engine`` says which engine did it and why.
    """

    shards: tuple[ShardReport, ...]
    index: IndexReport | None
    followed: Mapping[str, FollowReport]
    ignored_files: int
    notes: tuple[str, ...]
    seconds: float
    engine: str

    @property
    def counts(self) -> Counts:
        """The counts of all shards together."""
        return sum((report.counts for report in self.shards), Counts())

    @property
    def embedded(self) -> int:
        """How many output images got a feature vector."""
        return int(self.followed["feature_vectors"].facts["embedded"]) if "feature_vectors" in self.followed else 0


@in_step("run")
def run_dataset(
    settings: Settings,
    options: RunOptions = PLAIN_RUN,
    *,
    on_shard: "OnShard | None" = None,
) -> RunReport:
    """Bring a dataset in line with its source; do only what changed.

    Args:
        on_shard: called with each shard's report and the number of images the source holds.

    Raises:
        ImageAssetsError: something is wrong with more than single images.
    """
    started_at = time.monotonic()
    updated = update_shards(settings, shard_names(settings.num_shards), options, on_shard=on_shard)
    reports, listing = updated.reports, updated.state.wanted.listing
    index, followed = None, {}
    # Without one published shard there is nothing to assemble, and the reports say why.
    if any(report.published for report in reports):
        # On a quiet run even reading the whole index to check it again would be felt.
        rejudge = not all(report.unchanged for report in reports)
        with stage("index"):
            index = build_index(settings, rejudge=rejudge)
        followed = follow_index(settings, rejudge=rejudge)
    seconds = time.monotonic() - started_at
    return RunReport(tuple(reports), index, followed, listing.ignored, listing.notes, seconds, str(updated.engine))


@dataclass(frozen=True, slots=True)
class Updated:
    """The reports of some shards, in the order in which they were asked for; what was wanted; who did it."""

    reports: list[ShardReport]
    state: State
    engine: Choice


@in_step("shards")
def update_shards(
    settings: Settings,
    shards: Sequence[str],
    options: RunOptions = PLAIN_RUN,
    *,
    on_shard: "OnShard | None" = None,
    snapshot: int | None = None,
) -> "Updated":
    """Bring some shards in line with the source and return their reports in shard order.

    When another run commits one of them first, the source is looked at again and the shard planned anew.

    Args:
        snapshot: use the newest snapshot of the source in place of listing it, unless that is older than this one.

    Raises:
        ImageAssetsError: something is wrong with more than single images.
    """
    reports: dict[str, ShardReport] = {}
    left = list(shards)
    for _ in range(_TRIES):
        try:
            with in_use(store := open_store(settings)):
                with stage("list the source"), step(settings, "detect"):
                    state = detect(settings, options, source_lister(settings, snapshot))
                log_listing(state)
                choice = choose_engine(settings, partial(bytes_to_do, state, left))
                log_engine(choice)
                with build_engine(settings, choice) as engine:
                    for report in preprocess_shards(state, left, engine):
                        reports[report.shard] = report
                        log_shard(report)
                        tell_shard(report, settings)
                        if on_shard is not None:
                            on_shard(report, state)
        except ShardConflictsError as conflicts:
            left = list(conflicts.shards)
            continue
        made = {shard: report.verdicts for shard, report in reports.items() if not report.unchanged}
        number = state.index.number if state.index is not None else 0
        keep_verdicts(store, number, made, at=datetime.now(UTC))
        return Updated([reports[shard] for shard in shards], state, choice)
    raise CommitConflictError(f"other runs committed {', '.join(left)} first, {_TRIES} times; run again")


OnShard = Callable[[ShardReport, State], None]
