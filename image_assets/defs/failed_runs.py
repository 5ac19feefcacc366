"""Which runs of a dataset failed since the last look, each told once however often Dagster tries it again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

# What these tags mean is documented, and their names are not published.
from dagster._core.storage.tags import BACKFILL_ID_TAG, RETRY_NUMBER_TAG, ROOT_RUN_ID_TAG, WILL_RETRY_TAG

from image_assets.defs.instance_events import was_killed
from image_assets.defs.names import DATASET_TAG, Names
from image_assets.pipeline.messages import FailedRun, Outcome

# Failures taken at one look; the rest is taken at the next.
_AT_ONCE = 100
# What Dagster does not start again in this time, and what is not done with in the other, is told as it stands.
_STARTS_AGAIN_S = 600
_ENDS_S = 1800
# Dagster notes whether it will try again just after it notes the failure.
_NOTES_S = 30
_KEPT = 50


@dataclass(frozen=True, slots=True)
class RunsSeen:
    """What is known from look to look: the last failure that was seen, and what Dagster was to try again.

    ``waiting`` are first runs with the time of their first failure (seconds since 1970), ``told`` those that were
    told before it was over.
    """

    last: int
    waiting: Mapping[str, float] = field(default_factory=dict)
    told: tuple[str, ...] = ()


def failed_runs(
    instance: dg.DagsterInstance, names: Names, seen: RunsSeen, now: float
) -> tuple[list[FailedRun], RunsSeen]:
    """Return the runs to tell of now, oldest first, and what is known after that."""
    found: list[FailedRun] = []
    waiting, told, last = dict(seen.waiting), list(seen.told), seen.last
    for storage_id, event in _failures(instance, seen.last):
        run = instance.get_run_by_id(event.run_id)
        if run is not None and run.status is dg.DagsterRunStatus.FAILURE and is_run_of(instance, run, names):
            if _may_be_noted_yet(instance, run, now - event.timestamp):
                break
            root = _root_of(run)
            if run.tags.get(WILL_RETRY_TAG) == "true":
                if root not in told:
                    waiting.setdefault(root, event.timestamp)
            else:
                waiting.pop(root, None)
                if root in told:
                    told.remove(root)
                else:
                    found.append(_failed(run, event, "failed"))
        last = storage_id
    for root, since in list(waiting.items()):
        # A cursor has room for some; of more, the oldest are told as they stand.
        outcome: Outcome | None = _outcome(instance, root, now - since) or ("waiting" if len(waiting) > _KEPT else None)
        if outcome is not None:
            del waiting[root]
            found += _ended(instance, root, outcome)
            if outcome == "waiting":
                told.append(root)
    return found, RunsSeen(last, waiting, tuple(told[-_KEPT:]))


def is_run_of(instance: dg.DagsterInstance, run: dg.DagsterRun, names: Names) -> bool:
    """Return whether a run was to make anything of a dataset, whoever started it and by whichever job."""
    if run.job_name in (names.update_job, names.assemble_job) or run.tags.get(DATASET_TAG) == names.dataset:
        return True
    checks = {check.asset_key for check in run.asset_check_selection or ()}
    if any(key.path[0] == names.dataset for key in {*(run.asset_selection or ()), *checks}):
        return True
    planned = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    keys = {entry.dagster_event.asset_key for entry in planned if entry.dagster_event is not None}
    return any(key is not None and key.path[0] == names.dataset for key in keys)


def _failures(instance: dg.DagsterInstance, after: int) -> Iterator[tuple[int, Any]]:
    wanted = dg.RunStatusChangeRecordsFilter(event_type=dg.DagsterEventType.RUN_FAILURE, after_storage_id=after)
    for record in instance.fetch_run_status_changes(wanted, limit=_AT_ONCE, ascending=True).records:
        yield record.storage_id, record.event_log_entry


def _may_be_noted_yet(instance: dg.DagsterInstance, run: dg.DagsterRun, ago_s: float) -> bool:
    return instance.run_retries_enabled and WILL_RETRY_TAG not in run.tags and ago_s < _NOTES_S


def _root_of(run: dg.DagsterRun) -> str:
    """Return the run that Dagster tried again by this one; what a person starts again is a run of its own."""
    return run.tags.get(ROOT_RUN_ID_TAG, run.run_id) if RETRY_NUMBER_TAG in run.tags else run.run_id


def _outcome(instance: dg.DagsterInstance, root: str, ago_s: float) -> Outcome | None:
    """Return how it ended when Dagster tried a run again, None while it has not and there is time."""
    tries = _tries_of(instance, root)
    if not tries:
        return "waiting" if ago_s > _STARTS_AGAIN_S else None
    newest = tries[0]
    if newest.status is dg.DagsterRunStatus.SUCCESS:
        return "recovered"
    if newest.status is dg.DagsterRunStatus.CANCELED:
        return "canceled"
    return "waiting" if ago_s > _ENDS_S else None


def _tries_of(instance: dg.DagsterInstance, root: str) -> list[dg.DagsterRun]:
    """Return what Dagster started in place of a run, the newest first."""
    runs = instance.get_runs(dg.RunsFilter(tags={ROOT_RUN_ID_TAG: root}), limit=_AT_ONCE)
    return [run for run in runs if RETRY_NUMBER_TAG in run.tags]


def _ended(instance: dg.DagsterInstance, root: str, outcome: Outcome) -> list[FailedRun]:
    run = instance.get_run_by_id(root)
    entries = instance.all_logs(root, of_type=dg.DagsterEventType.RUN_FAILURE) if run is not None else []
    if run is None or not entries:
        # Somebody deleted it.
        return []
    return [_failed(run, entries[-1], outcome, len(_tries_of(instance, root)))]


def _failed(
    run: dg.DagsterRun,
    entry: Any,
    outcome: Outcome,
    retries: int | None = None,
) -> FailedRun:
    return FailedRun(
        run_id=run.run_id,
        job=run.job_name if not run.job_name.startswith("__") else "assets chosen by hand",
        at=datetime.fromtimestamp(entry.timestamp, UTC).isoformat(timespec="seconds"),
        error=_error_of(entry.dagster_event),
        killed=was_killed(run),
        outcome=outcome,
        retries=int(run.tags.get(RETRY_NUMBER_TAG, "0")) if retries is None else retries,
        backfill_id=run.tags.get(BACKFILL_ID_TAG),
    )


def _error_of(event: Any) -> str:
    """Return what a failure says of itself in a line: what the step said, where one failed."""
    data = event.event_specific_data
    step = data.first_step_failure_event.event_specific_data if data and data.first_step_failure_event else None
    if step is not None and step.user_failure_data is not None and step.user_failure_data.description:
        return str(step.user_failure_data.description)
    error = (step.error if step is not None else None) or (data.error if data else None)
    while error is not None and error.cause is not None:
        error = error.cause
    return str(error.message if error is not None else event.message or "no reason was given").strip()
