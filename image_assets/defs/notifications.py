"""The sensor that tells a webhook of runs that failed and checks that turned, where the settings name one."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import dagster as dg

from image_assets.core.errors import ConfigError, NotificationError
from image_assets.defs.failed_runs import RunsSeen, failed_runs, is_run_of
from image_assets.defs.names import Names
from image_assets.defs.turned_checks import ChecksSeen, turned_checks
from image_assets.pipeline.messages import News, TurnedCheck, headline, payload_of
from image_assets.pipeline.webhook import check_webhook, post
from image_assets.settings import Settings
from image_assets.settings.notifications import Event, NotificationSettings

# A webhook that is away is asked again after 30 s, then after twice as long each time: it must not fill the ticks of
# the sensors beside it.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 30.0, 3600.0
# A run says shard by shard what its checks say; that is one message at its end, or when it has taken so long.
_HOLD_S = 600.0
_WORDS: dict[Event, str] = {
    "run_failure": "a run fails",
    "check_failure": "a check fails",
    "check_recovery": "a check passes again",
}
_UNDER_WAY = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@dataclass(frozen=True, slots=True)
class Cursor:
    """What the sensor remembers: what was told, and how often the webhook did not take the message after that.

    ``held_at`` is since when runs are under way, whose checks are not looked at yet (0: none is). Times are seconds
    since 1970. Without it what happened before is told to nobody, and what happens from now on is.
    """

    runs: RunsSeen
    checks: ChecksSeen
    tries: int = 0
    next_at: float = 0.0
    held_at: float = 0.0

    @classmethod
    def from_text(cls, text: str | None) -> "Cursor | None":
        """Return what a cursor says, None when it is empty or from another version."""
        try:
            content = json.loads(text or "")
            runs, checks = content["runs"], content["checks"]
            return cls(
                RunsSeen(int(runs["last"]), dict(runs["waiting"]), tuple(runs["told"])),
                ChecksSeen(int(checks["last"]), dict(checks["failing"])),
                int(content["tries"]),
                float(content["next_at"]),
                float(content.get("held_at", 0.0)),
            )
        except (ValueError, KeyError, TypeError):
            return None

    def to_text(self) -> str:
        """Return the cursor."""
        return json.dumps(asdict(self), separators=(",", ":"))


def notification_sensors(settings: Settings, names: Names) -> list[dg.SensorDefinition]:
    """Return the sensor of one dataset's messages, on from the start; none where the settings name no webhook."""
    told = settings.notifications
    if told.webhook is None:
        return []
    when = ", or ".join(_WORDS[event] for event in told.events)

    @dg.sensor(
        name=f"{settings.name}_notifications",
        minimum_interval_seconds=told.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells the webhook in ${told.webhook.env} when {when}.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return _tick(context, told, names)

    return [sensor]


def _tick(context: dg.SensorEvaluationContext, told: NotificationSettings, names: Names) -> dg.SensorResult:
    now = time.time()
    cursor = Cursor.from_text(context.cursor)
    newest = context.instance.event_log_storage.get_maximum_record_id() or 0
    if cursor is None or newest < cursor.runs.last:
        # The first tick; or the database was deleted, and its numbers begin anew.
        return _skip("from now on it is told what fails; what failed before is not", _begin(context, names, newest))
    if now < cursor.next_at:
        return _skip(f"waiting {cursor.next_at - now:.0f} s before the webhook is asked again", cursor)
    runs, runs_seen = failed_runs(context.instance, names, cursor.runs, now)
    held_at = (cursor.held_at or now) if _is_under_way(context.instance, names) else 0.0
    checks: list[TurnedCheck] = []
    checks_seen = cursor.checks
    if not held_at or now - held_at >= _HOLD_S:
        checks, checks_seen = turned_checks(context.instance, names, _checks_of(context, names), cursor.checks)
        held_at = 0.0
    news = _wanted(News(runs, checks), told)
    after = Cursor(runs_seen, checks_seen, held_at=held_at)
    try:
        if not news:
            # Said before there is anything to tell: else it would be known when it is too late.
            check_webhook(told)
            return _skip("nothing new", after)
        post(told, payload_of(names.dataset, news, format_name=told.format, ui_url=told.ui_url))
    except ConfigError as error:
        return _skip(str(error), cursor)
    except NotificationError as error:
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**cursor.tries)
        tried = replace(cursor, tries=min(cursor.tries + 1, 20), next_at=now + wait_s)
        context.log.warning("%s", error)
        return _skip(f"not told yet ({headline(names.dataset, news)}): {error}; again in {wait_s:.0f} s", tried)
    return _skip(f"told: {headline(names.dataset, news)}", after)


def _begin(context: dg.SensorEvaluationContext, names: Names, newest: int) -> Cursor:
    """Return the cursor of the first tick: where everything stands now."""
    _, checks = turned_checks(context.instance, names, _checks_of(context, names), None)
    return Cursor(RunsSeen(newest), checks)


def _is_under_way(instance: dg.DagsterInstance, names: Names) -> bool:
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY))
    return any(is_run_of(instance, run, names) for run in runs)


def _checks_of(context: dg.SensorEvaluationContext, names: Names) -> Sequence[dg.AssetCheckKey]:
    """Return the checks of a dataset's assets, a user's own among them."""
    repository: Any = context.repository_def
    keys = repository.asset_graph.asset_check_keys if repository is not None else ()
    return sorted((key for key in keys if key.asset_key.path[0] == names.dataset), key=dg.AssetCheckKey.to_user_string)


def _wanted(news: News, told: NotificationSettings) -> News:
    """Return what of the news the settings want told."""
    checks = [
        check
        for check in news.checks
        if ("check_failure" if check.failed else "check_recovery") in told.events
        and (check.severity == "error" or told.min_severity == "warn")
    ]
    return News(news.runs if "run_failure" in told.events else (), checks)


def _skip(reason: str, cursor: Cursor) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=cursor.to_text())
