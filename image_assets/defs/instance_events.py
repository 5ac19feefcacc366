"""What Dagster's event log holds of a partitioned asset, and events written into it by hand.

A range run handles many partitions in one process, and Dagster's own results cannot say which partition they are of;
so the events of `image_shards` are logged here. What Dagster does not document as public is kept in this module, and in
the few that a test names: each says what it needs of it.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    INPUT_DATA_VERSION_TAG_PREFIX,
    INPUT_EVENT_POINTER_TAG_PREFIX,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG

from image_assets.checks.base import Verdict
from image_assets.core.errors import ImageAssetsError

OBSERVED = dg.DagsterEventType.ASSET_OBSERVATION
MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION


def recorded_versions(
    instance: dg.DagsterInstance, asset: dg.AssetKey, event_type: dg.DagsterEventType
) -> dict[str, str]:
    """Return the last recorded data version of each partition of an asset."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(asset, event_type, [DATA_VERSION_TAG])
    return {partition: found[DATA_VERSION_TAG] for partition, found in tags.items() if DATA_VERSION_TAG in found}


def recorded_version(instance: dg.DagsterInstance, asset: dg.AssetKey) -> str | None:
    """Return the last recorded data version of an asset without partitions."""
    event = instance.get_latest_materialization_event(asset)
    materialization = event.asset_materialization if event is not None else None
    tags = materialization.tags if materialization is not None else None
    return tags.get(DATA_VERSION_TAG) if tags else None


def last_materialization(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None = None
) -> dg.EventLogRecord | None:
    """Return the last materialization of an asset, or of a partition of it; None where there is none."""
    wanted = dg.AssetRecordsFilter(asset, asset_partitions=[partition] if partition is not None else None)
    return next(iter(instance.fetch_materializations(wanted, limit=1).records), None)


def last_metadata(
    instance: dg.DagsterInstance, asset: dg.AssetKey, data_version: str, partition: str | None
) -> Mapping[str, dg.MetadataValue]:
    """Return the metadata of the last materialization, of a partition perhaps; nothing if that was of another state."""
    record = last_materialization(instance, asset, partition)
    last = record.asset_materialization if record is not None else None
    if last is None or (last.tags or {}).get(DATA_VERSION_TAG) != data_version:
        return {}
    return last.metadata


def latest_event_ids(
    instance: dg.DagsterInstance, asset: dg.AssetKey, event_type: dg.DagsterEventType
) -> dict[str, int]:
    """Return the storage id of the last event of each partition of an asset."""
    return dict(instance.event_log_storage.get_latest_storage_id_by_partition(asset, event_type))


def unreported_partitions(instance: dg.DagsterInstance, asset: dg.AssetKey) -> set[str]:
    """Return the partitions that the last run which was to make them has not reported; after it the UI's failed."""
    storage = instance.event_log_storage
    return set(storage.get_latest_asset_partition_materialization_attempts_without_materializations(asset))


def is_unreported(instance: dg.DagsterInstance, asset: dg.AssetKey) -> bool:
    """Return the same of an asset without partitions."""
    planned = instance.event_log_storage.get_latest_planned_materialization_info(asset)
    made = instance.get_latest_materialization_event(asset)
    return planned is not None and (made is None or made.run_id != planned.run_id)


def was_killed(run: dg.DagsterRun) -> bool:
    """Return whether a run failed and no exception of its own was the cause."""
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    return run.status is dg.DagsterRunStatus.FAILURE and reason != RunFailureReason.STEP_FAILURE.value


def observation(
    asset: dg.AssetKey, partition: str, data_version: str, metadata: Mapping[str, Any]
) -> dg.AssetObservation:
    """Return the event "this partition now has that version"."""
    tags = {DATA_VERSION_TAG: data_version}
    return dg.AssetObservation(asset_key=asset, partition=partition, tags=tags, metadata=metadata)


class Observed:
    """What Dagster was told of a source before a run looked at it, and what the run tells it in addition."""

    def __init__(self, context: dg.AssetExecutionContext, source: dg.AssetKey) -> None:
        self._context = context
        self._source = source
        # The versions first: one that comes between the two then counts as not seen, and is told again.
        self._versions = recorded_versions(context.instance, source, OBSERVED)
        self._events = latest_event_ids(context.instance, source, OBSERVED)

    def event_of(self, partition: str, data_version: str, describe: Callable[[], Mapping[str, Any]]) -> int:
        """Return the storage id of the event that says a partition has a version; where there is none, log one.

        Dagster takes what was made of a partition for stale when it is told of another version after the event that was
        used; so what a run found before the sensor did (a run by hand, the sensor off or slower) would stay stale.

        Args:
            describe: what gives the metadata of an event; asked only where one is logged, for it reads the listing.
        """
        if self._versions.get(partition) != data_version:
            self._context.log_event(observation(self._source, partition, data_version, describe()))
            storage = self._context.instance.event_log_storage
            self._events |= storage.get_latest_storage_id_by_partition(self._source, OBSERVED, {partition})
            self._versions[partition] = data_version
        return self._events[partition]


def version_tags(
    data_version: str, code_version: str, upstream: dg.AssetKey, upstream_version: str, upstream_event: int
) -> dict[str, str]:
    """Return the tags that let Dagster tell whether a materialization is stale.

    Without the two about the input it never says so.
    """
    name = upstream.to_user_string()
    return {
        DATA_VERSION_TAG: data_version,
        CODE_VERSION_TAG: code_version,
        f"{INPUT_DATA_VERSION_TAG_PREFIX}/{name}": upstream_version,
        f"{INPUT_EVENT_POINTER_TAG_PREFIX}/{name}": str(upstream_event),
    }


def log_checks(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, partition: str, verdicts: Sequence[Verdict]
) -> None:
    """Log check results of one partition, aimed at its last materialization.

    The UI shows results without that target as missing, those of a refused shard too.
    """
    target = _target(context.instance, asset, partition)
    for verdict in verdicts:
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=asset, target_materialization_data=target, partition=partition, **_fields(verdict)
            )
        )


def listing_check_event(
    instance: dg.DagsterInstance, asset: dg.AssetKey, verdict: Verdict
) -> dg.AssetCheckEvaluation | None:
    """Return the event for a verdict on the source, or None when the last one said the same."""
    key = dg.AssetCheckKey(asset, verdict.check)
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    event = record.event.dagster_event if record is not None and record.event is not None else None
    last = event.event_specific_data if event is not None else None
    said = (verdict.passed, verdict.sentence)
    if isinstance(last, dg.AssetCheckEvaluation) and (last.passed, last.description) == said:
        return None
    return dg.AssetCheckEvaluation(asset_key=asset, **_fields(verdict))


def check_result(verdict: Verdict) -> dg.AssetCheckResult:
    """Return a verdict as the result of a check of an asset that is being made, or alone."""
    return dg.AssetCheckResult(**_fields(verdict))


def silent_output(name: str) -> dg.Output[None]:
    """Return an output that lets the steps after this one run and is no materialization.

    Dagster would log one for each partition of the range, all with one version, beside those logged by hand; and
    without any output it skips the steps that follow. The mark is what it uses itself for events logged by hand.
    """
    return dg.Output(None, output_name=name, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def check_specs(
    checks: Mapping[str, object],
    asset: dg.AssetKey,
    partitions: dg.PartitionsDefinition[str] | None = None,
    *,
    gate: str = "",
) -> list[dg.AssetCheckSpec]:
    """Return the specs of an asset's checks, described by the first line of their docstrings.

    Args:
        gate: a sentence more for each, on what a failure stops; Dagster calls them all non-blocking.

    Checks judged for each partition are a preview in Dagster; we mean to use them, so that one warning is not shown.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name,
                asset=asset,
                partitions_def=partitions,
                description=" ".join(filter(None, [(inspect.getdoc(check) or "").split("\n")[0], gate])),
            )
            for name, check in checks.items()
        ]


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn the platform's own errors into a failure that Dagster shows as one sentence, not as a traceback.

    Raises:
        Failure: the block raised an error of ours.
    """
    try:
        yield
    except ImageAssetsError as error:
        raise dg.Failure(description=str(error)) from None


def _fields(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict in Dagster's terms."""
    return {
        "check_name": verdict.check,
        "passed": verdict.passed,
        "severity": dg.AssetCheckSeverity.ERROR if verdict.severity == "error" else dg.AssetCheckSeverity.WARN,
        "description": verdict.sentence,
        "metadata": dict(verdict.numbers),
    }


def _target(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    record = last_materialization(instance, asset, partition)
    if record is None:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
    )
