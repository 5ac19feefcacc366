"""The sensor: what the source and the settings want against what is there; state with state, so nothing is lost."""

import time
from collections.abc import Mapping, Sequence

import dagster as dg

from image_assets.checks.base import Verdict
from image_assets.core.errors import ImageAssetsError, SourceError
from image_assets.core.index import combine_data_versions
from image_assets.defs.attempts import Attempts
from image_assets.defs.index_assets import vector_version
from image_assets.defs.instance_events import (
    MATERIALIZED,
    OBSERVED,
    listing_check_event,
    observation,
    recorded_version,
    recorded_versions,
)
from image_assets.defs.listing_checks import unlisted
from image_assets.defs.names import Names
from image_assets.pipeline.detect import State, look, refuse_loss
from image_assets.settings import Settings

DATASET_TAG = "image_assets/dataset"
_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
_ACTIVE = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def source_sensor(
    settings: Settings, names: Names, shards: dg.AssetsDefinition, assembled: Sequence[dg.AssetsDefinition]
) -> dg.SensorDefinition:
    """Return the sensor of one dataset and with it the two jobs it asks for; it is on from the start."""
    update = dg.define_asset_job(
        names.update_job,
        selection=dg.AssetSelection.assets(shards, *assembled),
        description="Bring the shards of a range up to date, then index and vectors.",
    )
    assemble = dg.define_asset_job(
        names.assemble_job,
        selection=dg.AssetSelection.assets(*assembled),
        description="Assemble index and vectors from the committed shards.",
    )

    @dg.sensor(
        name=f"{settings.name}_source_sensor",
        jobs=[update, assemble],
        minimum_interval_seconds=settings.trigger.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Lists {settings.source.path} and asks for runs of exactly the shards that changed.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        # Asked before looking: a run that ends meanwhile is then waited for, not taken for one that did nothing.
        busy = _busy(context.instance, names)
        try:
            state = look(settings)
        except ImageAssetsError as error:
            # A missing source is no defect of the sensor: say it in one line and look again at the next tick.
            verdict = unlisted(error) if isinstance(error, SourceError) else None
            return _skip(context, names, str(error), verdict)
        try:
            refuse_loss(state)
        except SourceError as error:
            return _skip(context, names, str(error), state.loss)
        return evaluate(context, state, names, busy=busy)

    return sensor


def evaluate(context: dg.SensorEvaluationContext, state: State, names: Names, *, busy: bool) -> dg.SensorResult:
    """Return what one look at the source leads to; while a run is under way, only observations."""
    settings, now = state.settings, time.time()
    instance = context.instance
    seen = recorded_versions(instance, names.raw_listing, OBSERVED)
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = [
        observation(names.raw_listing, shard, fingerprint, state.wanted.listing.shard(shard).num_rows)
        for shard, fingerprint in state.wanted.fingerprints.items()
        if seen.get(shard) != fingerprint
    ]
    if state.loss is not None and (told := listing_check_event(instance, names.raw_listing, state.loss)) is not None:
        events.append(told)
    attempts = Attempts.from_cursor(context.cursor)
    shards = _wanted_shards(instance, state, names)
    assembled = _wanted_assembly(instance, state, names)
    wanted = shards | assembled
    if busy:
        reason = "a run for this dataset is under way; looking again after it"
        return dg.SensorResult(skip_reason=reason, asset_events=events, cursor=attempts.to_cursor())
    due = attempts.due(wanted, settings.trigger, now)
    due_shards = [shard for shard in shards if shard in due]
    # A run of shards assembles the index as well, so that is asked for alone only when no shard is due.
    asked = due_shards or due
    after = attempts.after(wanted, [*asked, *(assembled if due_shards else ())], now)
    if due_shards:
        request = _request(names, names.update_job, due_shards)
    elif due:
        request = _request(names, names.assemble_job, ())
    else:
        skip = _why_nothing(attempts.exhausted(wanted, settings.trigger), wanted)
        return dg.SensorResult(skip_reason=skip, asset_events=events, cursor=after.to_cursor())
    return dg.SensorResult(run_requests=[request], asset_events=events, cursor=after.to_cursor())


def _skip(context: dg.SensorEvaluationContext, names: Names, reason: str, verdict: Verdict | None) -> dg.SensorResult:
    """Return the result of a look that leads to nothing, with the verdict on the source where it is news."""
    event = listing_check_event(context.instance, names.raw_listing, verdict) if verdict is not None else None
    return dg.SensorResult(skip_reason=reason, asset_events=[event] if event is not None else [], cursor=context.cursor)


def _wanted_shards(instance: dg.DagsterInstance, state: State, names: Names) -> dict[str, str]:
    """Return the shards to run: those whose commit is behind, and those whose commit Dagster has not been told of."""
    told = recorded_versions(instance, names.image_shards, MATERIALIZED)
    wanted = {shard: state.wanted.data_version(shard) for shard in state.wanted.fingerprints}
    return {
        shard: version for shard, version in wanted.items() if state.is_touched(shard) or told.get(shard) != version
    }


def _wanted_assembly(instance: dg.DagsterInstance, state: State, names: Names) -> dict[str, str]:
    """Return which of index and vectors do not follow the last commits."""
    settings, index = state.settings, state.index
    if not state.heads:
        return {}
    version = combine_data_versions({shard: head.data_version for shard, head in state.heads.items()})
    wanted = {}
    if index is None or index.data_version != version or recorded_version(instance, names.training_index) != version:
        wanted["training_index"] = version
    if settings.features.extractor != "none":
        expected = vector_version(settings, index.digest) if index is not None else version
        if wanted or recorded_version(instance, names.feature_vectors) != expected:
            wanted["feature_vectors"] = expected
    return wanted


def _busy(instance: dg.DagsterInstance, names: Names) -> bool:
    """Return whether a run of this dataset is under way, also one that a person or a backfill started."""
    ours = {names.image_shards, names.training_index, names.feature_vectors}
    return any(
        run.job_name in (names.update_job, names.assemble_job) or ours & (run.asset_selection or set())
        for run in instance.get_runs(dg.RunsFilter(statuses=_ACTIVE))
    )


def _request(names: Names, job_name: str, shards: Sequence[str]) -> dg.RunRequest:
    """Return one run from the lowest to the highest shard; what did not change in between costs nothing.

    It has no run key: Dagster would never start a second run with one it knows, and states come back (a label is
    changed and changed again, a store is lost). Asking twice is prevented by looking at what is there and under way.
    """
    # The sensor asks again by itself: a retry by the daemon beside it would be a second run for the same thing.
    tags = {DATASET_TAG: names.dataset, "dagster/max_retries": "0"}
    if shards:
        tags |= {_RANGE_START: shards[0], _RANGE_END: shards[-1]}
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
