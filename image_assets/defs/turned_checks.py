"""Which checks of a dataset's assets turned since the last look: state with state, so nothing is told twice."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import dagster as dg

# How each check stands in each partition: there is no published way to ask for that.
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
    AssetCheckPartitionInfo,
)

from image_assets.defs.names import Names
from image_assets.pipeline.messages import TurnedCheck

# Events are numbered before they are there; what is seen twice changes nothing.
_OVERLAP = 1000
# Of a check that fails in more shards at once, the sentences of the newest are known.
_READ = 500
_FAILED = {AssetCheckExecutionRecordStatus.FAILED}
_RANK = {"passed": 0, "warn": 1, "error": 2}
State = Literal["passed", "warn", "error"]


@dataclass(frozen=True, slots=True)
class ChecksSeen:
    """Where the checks stood at the last look: the number of its newest event, and where each one failed.

    ``failing`` has of each check that fails anywhere the two sets of shards where that is a warning and an error, as
    one text: the number of shards (0 for a check without), and each set as the bits of a number.
    """

    last: int
    failing: Mapping[str, str]


def turned_checks(
    instance: dg.DagsterInstance, names: Names, keys: Sequence[dg.AssetCheckKey], seen: ChecksSeen | None
) -> tuple[list[TurnedCheck], ChecksSeen]:
    """Return the checks that turned, and where they stand now.

    Args:
        seen: where they stood; None the first time, when nothing has turned yet.
    """
    storage = instance.event_log_storage
    newest = storage.get_maximum_record_id() or 0
    if seen is not None and newest == seen.last:
        return [], seen
    after = seen.last - _OVERLAP if seen is not None else None
    places: dict[str | None, int] = {shard: at for at, shard in enumerate(names.partitions.get_partition_keys())}
    infos: dict[dg.AssetCheckKey, list[AssetCheckPartitionInfo]] = {}
    for info in storage.get_asset_check_partition_info(list(keys), after_storage_id=after):
        infos.setdefault(info.check_key, []).append(info)
    failing = dict(seen.failing) if seen is not None else {}
    turned: list[TurnedCheck] = []
    for key, found in sorted(infos.items(), key=lambda item: item[0].to_user_string()):
        name = f"{_asset_of(key)}/{key.name}"
        is_whole = any(info.partition_key is None for info in found)
        before = _Where.from_text(failing.pop(name, ""), 0 if is_whole else len(places))
        verdicts = list(_verdicts(instance, key, found, {None: 0} if is_whole else places))
        now = before.after(verdicts)
        if text := now.to_text():
            failing[name] = text
        if seen is not None:
            turned += _news(key, before, now, verdicts)
    return turned, ChecksSeen(newest, failing)


def _asset_of(key: dg.AssetCheckKey) -> str:
    """Return what an asset is called in its dataset."""
    return "/".join(key.asset_key.path[1:]) or key.asset_key.path[0]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a check said last of a shard, or of all (None); ``place`` is its bit."""

    shard: str | None
    place: int
    state: State
    sentence: str


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a check fails, of so many shards (0: it has none): bits of two numbers."""

    num_shards: int
    warn: int = 0
    error: int = 0

    @classmethod
    def from_text(cls, text: str, num_shards: int) -> "_Where":
        """Return what a cursor says; of another number of shards it says nothing."""
        of, _, sets = text.partition(":")
        warn, _, error = sets.partition(":")
        if of != str(num_shards):
            return cls(num_shards)
        return cls(num_shards, int(warn, 16), int(error, 16))

    def to_text(self) -> str:
        """Return the same for a cursor, nothing when it fails nowhere."""
        return f"{self.num_shards}:{self.warn:x}:{self.error:x}" if self.warn or self.error else ""

    def state(self, place: int) -> State:
        """Return how it stands in a place."""
        if self.error >> place & 1:
            return "error"
        return "warn" if self.warn >> place & 1 else "passed"

    def after(self, verdicts: Sequence[_Verdict]) -> "_Where":
        """Return where it fails after some verdicts."""
        warn, error = self.warn, self.error
        for verdict in verdicts:
            bit = 1 << verdict.place
            warn = warn | bit if verdict.state == "warn" else warn & ~bit
            error = error | bit if verdict.state == "error" else error & ~bit
        return _Where(self.num_shards, warn, error)


def _verdicts(
    instance: dg.DagsterInstance,
    key: dg.AssetCheckKey,
    infos: Sequence[AssetCheckPartitionInfo],
    places: Mapping[str | None, int],
) -> Iterator[_Verdict]:
    """Yield what a check said last, where it said anything; shards of another time are left out."""
    known = [info for info in infos if info.partition_key in places]
    failed = {info.partition_key for info in known if info.latest_execution_status in _FAILED}
    records = _failures(instance, key, failed)
    for info in known:
        place = places[info.partition_key]
        if info.latest_execution_status is AssetCheckExecutionRecordStatus.SUCCEEDED:
            yield _Verdict(info.partition_key, place, "passed", "")
        elif info.partition_key in failed:
            record = records.get(info.partition_key)
            evaluation = record.evaluation if record is not None else None
            warns = evaluation is not None and evaluation.severity is dg.AssetCheckSeverity.WARN
            sentence = (evaluation.description or "") if evaluation is not None else ""
            yield _Verdict(info.partition_key, place, "warn" if warns else "error", sentence)


def _failures(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, partitions: set[str | None]
) -> dict[str | None, AssetCheckExecutionRecord]:
    """Return the newest failure of a check in each of some partitions, as far as they are among its newest."""
    if not partitions:
        return {}
    limit = min(_READ, 4 * len(partitions))
    found: dict[str | None, AssetCheckExecutionRecord] = {}
    for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=limit, status=_FAILED):
        if record.partition in partitions:
            found.setdefault(record.partition, record)
    return found


def _news(key: dg.AssetCheckKey, before: _Where, now: _Where, verdicts: Sequence[_Verdict]) -> Iterator[TurnedCheck]:
    """Yield one message for where a check is worse than before, and one for where it passes again."""
    worse = [item for item in verdicts if _RANK[item.state] > _RANK[before.state(item.place)]]
    better = [item for item in verdicts if item.state == "passed" and before.state(item.place) != "passed"]
    for turned, failed in ((worse, True), (better, False)):
        if not turned:
            continue
        worst = max(turned, key=lambda item: _RANK[item.state])
        states = [before.state(item.place) for item in turned] if not failed else [item.state for item in turned]
        yield TurnedCheck(
            asset=_asset_of(key),
            check=key.name,
            severity="error" if "error" in states else "warn",
            failed=failed,
            sentence=worst.sentence,
            failing=(now.warn | now.error).bit_count(),
            shards=tuple(item.shard for item in turned if item.shard is not None),
        )
