"""What is told of runs that failed and checks that turned: one text for people, and the same in fields."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from image_assets.core.plain_text import cut, one_line
from image_assets.core.words import counted

# A message is read, not searched: what is more is counted.
_SHOWN = 10
_SHOWN_SHARDS, _NAMED_SHARDS = 5, 50
_SENTENCE = 300
# Discord takes 2,000 characters, the others more.
_TEXT = 1900
Outcome = Literal["failed", "recovered", "waiting", "canceled"]
_ENDED: dict[Outcome, str] = {
    "failed": "failed",
    "recovered": "failed and went well when Dagster tried it again",
    "waiting": "failed; Dagster was to try it again and has not ended that yet",
    "canceled": "failed and was cancelled when Dagster tried it again",
}


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run that failed, with all that Dagster did to try it again.

    ``outcome`` says how that ended; ``retries`` counts the tries after the first. ``at`` is ISO 8601.
    """

    run_id: str
    job: str
    at: str
    error: str
    killed: bool
    outcome: Outcome
    retries: int = 0
    backfill_id: str | None = None


@dataclass(frozen=True, slots=True)
class TurnedCheck:
    """A check that turned: it fails now, in some shards perhaps, or does no more.

    ``shards`` are those in which it turned, ``failing`` is in how many it fails now (1 or 0 of an asset without).
    """

    asset: str
    check: str
    severity: Literal["warn", "error"]
    failed: bool
    sentence: str
    failing: int
    shards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class News:
    """What happened since the last message."""

    runs: Sequence[FailedRun] = ()
    checks: Sequence[TurnedCheck] = ()

    def __bool__(self) -> bool:
        return bool(self.runs or self.checks)


def headline(dataset: str, news: News) -> str:
    """Return the first line of a message."""
    failing = sum(check.failed for check in news.checks)
    recovered = len(news.checks) - failing
    parts = [
        (len(news.runs), "run failed", "runs failed"),
        (failing, "check fails", "checks fail"),
        (recovered, "check passes again", "checks pass again"),
    ]
    return f"{dataset}: " + ", ".join(counted(*part) for part in parts if part[0])


def payload_of(dataset: str, news: News, *, format_name: str, ui_url: str | None) -> dict[str, Any]:
    """Return what is posted.

    Args:
        format_name: ``fields``: `text` and the fields; ``text``: that alone; ``discord``: its own.
        ui_url: where Dagster's pages are, for links.
    """
    base = ui_url.rstrip("/") if ui_url else None
    lines = [headline(dataset, news)]
    lines += [_run_line(run, base) for run in news.runs[:_SHOWN]]
    lines += _more(len(news.runs))
    lines += [_check_line(check, dataset, base) for check in news.checks[:_SHOWN]]
    lines += _more(len(news.checks))
    text = cut("\n".join(lines), _TEXT)
    if format_name == "discord":
        # Nobody is called by what an image is called.
        return {"content": text, "allowed_mentions": {"parse": []}}
    # The three characters by which Slack, Mattermost and Google Chat know links, people and channels.
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if format_name == "text":
        return {"text": escaped}
    return {"text": escaped, "dataset": dataset, **_fields(dataset, news, base)}


def _fields(dataset: str, news: News, base: str | None) -> dict[str, Any]:
    def with_url(item: FailedRun | TurnedCheck) -> Mapping[str, Any]:
        url = _run_url(base, item) if isinstance(item, FailedRun) else _check_url(base, dataset, item)
        fields = {**asdict(item), "url": url}
        if isinstance(item, FailedRun):
            return {**fields, "error": _plain(item.error)}
        shards = item.shards[:_NAMED_SHARDS]
        return {**fields, "sentence": _plain(item.sentence), "shards": shards, "turned": max(1, len(item.shards))}

    failing = [check for check in news.checks if check.failed]
    recovered = [check for check in news.checks if not check.failed]
    return {
        "counts": {"failed_runs": len(news.runs), "failing_checks": len(failing), "recovered_checks": len(recovered)},
        "failed_runs": [with_url(run) for run in news.runs[:_SHOWN]],
        "failing_checks": [with_url(check) for check in failing[:_SHOWN]],
        "recovered_checks": [with_url(check) for check in recovered[:_SHOWN]],
    }


def _run_line(run: FailedRun, base: str | None) -> str:
    killed = " (its process was killed, or could not start)" if run.killed else ""
    tries = f" after {run.retries + 1} tries" if run.retries and run.outcome == "failed" else ""
    backfill = f", backfill {run.backfill_id}" if run.backfill_id else ""
    url = _run_url(base, run)
    line = f"- run {run.run_id[:8]} of {run.job}{backfill} {_ENDED[run.outcome]}{tries}{killed}: {_plain(run.error)}"
    return f"{line} {url}" if url else line


def _check_line(check: TurnedCheck, dataset: str, base: str | None) -> str:
    where = ""
    if check.shards:
        named = ", ".join(check.shards[:_SHOWN_SHARDS])
        where = f" in {named}" + (f" and {more} more" if (more := len(check.shards) - _SHOWN_SHARDS) > 0 else "")
    url = _check_url(base, dataset, check)
    word = f"{check.severity.upper()} {check.asset}/{check.check} fails" if check.failed else ""
    word = word or f"{check.asset}/{check.check} passes again"
    still = f" (still fails in {check.failing})" if not check.failed and check.failing else ""
    line = f"- {word}{where}{still}" + (f": {_plain(check.sentence)}" if check.sentence else "")
    return f"{line} {url}" if url else line


def _run_url(base: str | None, run: FailedRun) -> str | None:
    return f"{base}/runs/{run.run_id}" if base else None


def _check_url(base: str | None, dataset: str, check: TurnedCheck) -> str | None:
    return f"{base}/assets/{dataset}/{check.asset}?view=checks&checkDetail={check.check}" if base else None


def _more(count: int) -> list[str]:
    return [f"- and {count - _SHOWN} more"] if count > _SHOWN else []


def _plain(text: str) -> str:
    """Return a sentence in one line: what it quotes comes from strangers' files."""
    return cut(one_line(text), _SENTENCE)
