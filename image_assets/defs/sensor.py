"""The sensor: what the source and the settings want against what is there; state with state, so nothing is lost."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from image_assets.checks.base import Verdict
from image_assets.core.errors import ImageAssetsError, SourceError
from image_assets.core.index import combine_data_versions
from image_assets.defs.attempts import Cursor, short_version
from image_assets.defs.index_assets import follower_version
from image_assets.defs.instance_events import (
    MATERIALIZED,
    OBSERVED,
    is_unreported,
    listing_check_event,
    observation,
    recorded_version,
    recorded_versions,
    unreported_partitions,
    was_killed,
)
from image_assets.defs.listing_checks import unlisted
from image_assets.defs.metadata import listing_metadata
from image_assets.defs.names import DATASET_TAG, LISTING_TAG, Names, listing_of
from image_assets.pipeline.additions import wanted_additions
from image_assets.pipeline.bucket_events import event_place, follow_events
from image_assets.pipeline.detect import PLAIN_RUN, State, look, refuse_loss
from image_assets.pipeline.following import wanted_followers
from image_assets.pipeline.listing_snapshots import Look, list_in_time, look_again, remove_old_listings
from image_assets.settings import Settings
from image_assets.settings.triggers import TriggerSettings
from image_assets.storage.identity import look_into_store

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
# Of runs that are killed; the waits between them double, with 30 s at first the last is a quarter of a day.
_MOST_KILLED = 10
# For each check and each partition of a run Dagster's database keeps the names of all partitions of that run: with
# three checks 13 MB for 512, and 820 MB for 4,096, whose run was not even created in two minutes.
_MOST_SHARDS = 512
_ACTIVE = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick starts from: the active runs of the dataset, and what the tick before remembered."""

    context: dg.SensorEvaluationContext
    names: Names
    runs: tuple[dg.DagsterRun, ...]
    cursor: Cursor

    @property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's instance."""
        return self.context.instance


def source_sensor(
    settings: Settings, names: Names, shards: dg.AssetsDefinition, assembled: Sequence[dg.AssetsDefinition]
) -> dg.SensorDefinition:
    """Return the sensor of one dataset and with it the two jobs it asks for; it is on from the start.

    Raises:
        ConfigError: it should follow the events of a bucket, and the source is none.
    """
    # The project may start a process for each step; these steps start processes of their own.
    update = dg.define_asset_job(
        names.update_job,
        executor_def=dg.in_process_executor,
        selection=dg.AssetSelection.assets(shards, *assembled),
        description="Bring the shards of a range up to date, then the index and all that is made of it. Choose any "
        "range: shards in which nothing changed cost next to nothing.",
    )
    assemble = dg.define_asset_job(
        names.assemble_job,
        executor_def=dg.in_process_executor,
        selection=dg.AssetSelection.assets(*assembled),
        description="Assemble the index from the committed shards, and all that is made of it; no image is decoded.",
    )
    if settings.trigger.sqs is not None:
        event_place(settings)

    @dg.sensor(
        name=f"{settings.name}_source_sensor",
        jobs=[update, assemble],
        minimum_interval_seconds=settings.trigger.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=_description(settings),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        # Asked before looking: a run that ends meanwhile is then waited for, not taken for one that did nothing.
        tick = Tick(context, names, _active_runs(context.instance, names), Cursor.from_text(context.cursor))
        return _look_and_evaluate(tick, settings)

    return sensor


def _look_and_evaluate(tick: Tick, settings: Settings) -> dg.SensorResult:
    try:
        seen = _look_at_source(tick, settings, time.time())
        if seen.note:
            tick.context.log.info(seen.note)
        if seen.trouble:
            tick.context.log.warning(seen.trouble)
        listing = seen.listing
        if listing is None:
            cursor = replace(tick.cursor, partial=seen.partial)
            return dg.SensorResult(skip_reason=seen.note, cursor=cursor.to_text())
        state = look(settings, PLAIN_RUN, lambda: listing)
        added = wanted_additions(settings, look_into_store(settings))
    except ImageAssetsError as error:
        # A missing source is no defect of the sensor: say it in one line and look again at the next tick.
        if isinstance(error, SourceError):
            return _skip(tick, tick.cursor, str(error), unlisted(error))
        # What lies in the store of a listing may be what is wrong.
        return _skip(tick, Cursor(tick.cursor.attempts), str(error), None)
    try:
        refuse_loss(state)
    except SourceError as error:
        return _skip(tick, replace(tick.cursor, partial=seen.partial, pending=None), str(error), state.loss)
    return evaluate(tick, state, seen, added)


def evaluate(tick: Tick, state: State, seen: Look, added: Mapping[str, str]) -> dg.SensorResult:
    """Return what one look at the source leads to; while a run is under way, only observations.

    Args:
        added: in one word each, what an index made now would have beside the rows of the manifests.
    """
    settings, now, names, instance = state.settings, time.time(), tick.names, tick.instance
    events = _events(tick, state)
    shards = _wanted_shards(instance, state, names)
    assembled = _wanted_assembly(tick, state, added)
    wanted = {name: short_version(version) for name, version in (shards | assembled).items()}
    attempts = tick.cursor.attempts
    cursor = Cursor(attempts, seen.partial)
    if tick.runs:
        reason = "a run for this dataset is under way; looking again after it"
        cursor = replace(cursor, pending=seen.number)
        return dg.SensorResult(skip_reason=reason, asset_events=events, cursor=cursor.to_text())
    trigger = _patience(tick, settings.trigger)
    due = attempts.due(wanted, trigger, now)
    due_shards = [shard for shard in shards if shard in due]
    now_shards = _in_one_run(names, due_shards)
    are_last = now_shards == due_shards
    with_them = assembled if now_shards and are_last else ()
    # A run of shards assembles the index as well, so that is asked for alone only when no shard is due.
    asked = now_shards or due
    cursor = replace(cursor, attempts=attempts.after(wanted, [*asked, *with_them], now))
    if now_shards:
        request = _request(names, names.update_job, now_shards, seen.number)
        if not are_last:
            # What is assembled is assembled once, by the run of the last of them.
            request = request.with_replaced_attrs(asset_selection=[names.image_shards])
    elif due:
        request = _request(names, names.assemble_job, (), None)
    else:
        skip = "; ".join(filter(None, [_why_nothing(attempts.exhausted(wanted, trigger), wanted), seen.trouble]))
        return dg.SensorResult(skip_reason=skip, asset_events=events, cursor=cursor.to_text())
    return dg.SensorResult(run_requests=[request], asset_events=events, cursor=cursor.to_text())


def _patience(tick: Tick, trigger: TriggerSettings) -> TriggerSettings:
    """Return how often to ask: where the last run was killed, or could not start, the dataset is not to blame."""
    last = tick.instance.get_runs(dg.RunsFilter(tags={DATASET_TAG: tick.names.dataset}), limit=1)
    if not last or not was_killed(last[0]):
        return trigger
    return trigger.model_copy(update={"max_attempts": max(trigger.max_attempts, _MOST_KILLED)})


def _description(settings: Settings) -> str:
    how = "Follows the events of" if settings.trigger.sqs is not None else "Lists"
    return (
        f"{how} {settings.source.path} about every {settings.trigger.interval_s:g} s and asks for one run of the "
        "shards that changed, then of what is assembled from them. It compares what is there with what should be, so "
        "that nothing is lost while it is off. A tick that asks for nothing says why; a failed run is asked for again, "
        f"{settings.trigger.max_attempts} times at most for one state of a shard."
    )


def _look_at_source(tick: Tick, settings: Settings, now: float) -> Look:
    """Return what the source holds, as far as one tick has time for it."""
    cursor = tick.cursor
    if cursor.pending is not None and not tick.runs and (again := look_again(settings, cursor.pending)) is not None:
        return replace(again, partial=cursor.partial)
    if settings.trigger.sqs is not None:
        seen = follow_events(settings, settings.trigger.sqs, cursor.partial, now)
    else:
        seen = list_in_time(settings, cursor.partial, now)
    if seen.number is not None:
        needed = {number for run in tick.runs if (number := listing_of(run)) is not None}
        remove_old_listings(settings, needed)
    return seen


def _events(tick: Tick, state: State) -> list[dg.AssetObservation | dg.AssetCheckEvaluation]:
    """Return what is news of the source: shards with other contents, another verdict."""
    raw_listing = tick.names.raw_listing
    seen = recorded_versions(tick.instance, raw_listing, OBSERVED)
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = [
        observation(raw_listing, shard, fingerprint, listing_metadata(state, shard))
        for shard, fingerprint in state.wanted.fingerprints.items()
        if seen.get(shard) != fingerprint
    ]
    if state.loss is not None and (told := listing_check_event(tick.instance, raw_listing, state.loss)) is not None:
        events.append(told)
    return events


def _skip(tick: Tick, cursor: Cursor, reason: str, verdict: Verdict | None) -> dg.SensorResult:
    """Return the result of a look that leads to nothing, with the verdict on the source where it is news."""
    event = listing_check_event(tick.instance, tick.names.raw_listing, verdict) if verdict is not None else None
    return dg.SensorResult(
        skip_reason=reason, asset_events=[event] if event is not None else [], cursor=cursor.to_text()
    )


def _wanted_shards(instance: dg.DagsterInstance, state: State, names: Names) -> dict[str, str]:
    """Return the shards to run: those whose commit is behind, and those whose commit Dagster has not been told of.

    That also goes for a shard that a failed or cancelled run was to make and did not report: the UI shows it as failed.
    """
    told = recorded_versions(instance, names.image_shards, MATERIALIZED)
    unreported = unreported_partitions(instance, names.image_shards)
    wanted = {shard: state.wanted.data_version(shard) for shard in state.wanted.fingerprints}
    return {
        shard: version
        for shard, version in wanted.items()
        if state.is_touched(shard) or told.get(shard) != version or shard in unreported
    }


def _wanted_assembly(tick: Tick, state: State, added: Mapping[str, str]) -> dict[str, str]:
    """Return what does not follow the last commits: the index, and what is made of each."""
    settings, index, instance, names = state.settings, state.index, tick.instance, tick.names
    if not state.heads:
        return {}
    versions = {shard: head.data_version for shard, head in state.heads.items()}
    version = combine_data_versions(versions, added)
    wanted = {}
    if index is None or index.data_version != version or _is_news(instance, names.training_index, version):
        wanted["training_index"] = version
    for name, follower in wanted_followers(settings).items():
        expected = follower_version(settings, follower, index.digest) if index is not None else version
        if "training_index" in wanted or _is_news(instance, names.follower(name), expected):
            wanted[name] = expected
    return wanted


def _is_news(instance: dg.DagsterInstance, asset: dg.AssetKey, version: str) -> bool:
    return recorded_version(instance, asset) != version or is_unreported(instance, asset)


def _active_runs(instance: dg.DagsterInstance, names: Names) -> tuple[dg.DagsterRun, ...]:
    """Return the runs of this dataset that are under way, also those that a person or a backfill started."""
    return tuple(
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=_ACTIVE))
        if run.job_name in (names.update_job, names.assemble_job)
        or any(key.path[0] == names.dataset for key in run.asset_selection or ())
    )


def _in_one_run(names: Names, shards: Sequence[str]) -> list[str]:
    """Return the first of some shards, in their order: those within the longest range that one run may have."""
    every = names.partitions.get_partition_keys()
    after = every[every.index(shards[0]) + _MOST_SHARDS :] if shards else []
    return [shard for shard in shards if not after or shard < after[0]]


def _request(names: Names, job_name: str, shards: Sequence[str], snapshot: int | None) -> dg.RunRequest:
    """Return one run from the lowest to the highest shard; what did not change in between costs nothing.

    It has no run key: Dagster would never start a second run with one it knows, and states come back (a label is
    changed and changed again, a store is lost). Asking twice is prevented by looking at what is there and under way.
    """
    # The sensor asks again by itself: a retry by the daemon beside it would be a second run for the same thing.
    tags = {DATASET_TAG: names.dataset, "dagster/max_retries": "0"}
    if shards:
        tags |= {_RANGE_START: shards[0], _RANGE_END: shards[-1]}
    if snapshot is not None:
        tags[LISTING_TAG] = str(snapshot)
    return dg.RunRequest(job_name=job_name, tags=tags)


def _why_nothing(exhausted: Sequence[str], wanted: Mapping[str, str]) -> str:
    if exhausted:
        return (
            f"gave up on {', '.join(exhausted[:8])} after the last attempt: see the failed runs; "
            "a change in the source or the settings, or a run by hand, starts again"
        )
    if wanted:
        return f"waiting before asking again for {', '.join(list(wanted)[:8])}"
    return "nothing changed"
