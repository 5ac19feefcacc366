"""What must hold at the end: store, Dagster's runs, what the UI shows, and what is left lying about."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_assets.core.sharding import shard_names
from image_assets.pipeline.detect import detect
from image_assets.pipeline.run import run_dataset
from image_assets.storage.layout import number_of
from image_assets.storage.manifests import read_manifest_head
from image_assets.storage.store import Store
from image_assets_tests.soak import queries
from image_assets_tests.soak.deployment import Deployment
from image_assets_tests.soak.memory import Memory

_VERSION = "dagster/data_version"
_SHOWN = 5
_GROWN = 1.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim, whether it holds, and what was found."""

    claim: str
    holds: bool
    found: str


def judge_ui(deployment: Deployment) -> Iterator[Verdict]:
    """Yield whether the UI shows each partition as it is."""
    shards = shard_names(deployment.settings.num_shards)
    shown = partitions_shown(deployment)
    numbers = {name: len(found) for name, found in shown.items() if found}
    yield Verdict("the UI shows every partition materialized", numbers == {"materialized": len(shards)}, str(numbers))
    heads = detect(deployment.settings).heads
    told = told_versions(deployment)
    other = [shard for shard in shards if told.get(shard) != (heads[shard].data_version if shard in heads else None)]
    yield Verdict("the last materialization of each shard is its last commit", not other, _some(other))
    failed = list(failed_assets(deployment))
    yield Verdict("the UI shows index and vectors as made", not failed, _some(failed))
    stale = deployment.stale_partitions("image_shards")
    yield Verdict("the UI shows no partition as stale", not stale, _some(stale))


def judge_runs(deployment: Deployment) -> Iterator[Verdict]:
    """Yield whether every run ended."""
    runs = deployment.runs()
    open_runs = [f"{run.id} {run.status}" for run in runs if not run.ended]
    yield Verdict("no run is left under way", not open_runs, _some(open_runs))
    slots = held_slots(deployment)
    yield Verdict("no slot of a pool is left taken", not slots, _some(slots))


def judge_commits(deployment: Deployment, expected: dict[str, int] | None) -> Iterator[Verdict]:
    """Yield whether each shard was committed as often as its contents changed, and Dagster was told of each commit.

    Args:
        expected: how often each shard should have been committed, where that is known.
    """
    commits = commits_of(deployment)
    gaps = [shard for shard, numbers in commits.items() if numbers != list(range(1, len(numbers) + 1))]
    yield Verdict("commits of each shard are numbered without a gap", not gaps, _some(gaps))
    if expected is None:
        return
    wrong = [f"{shard} {len(commits[shard])}, not {number}" for shard, number in expected.items()
             if len(commits[shard]) != number]  # fmt: skip
    total = sum(len(numbers) for numbers in commits.values())
    yield Verdict(
        "each shard was committed exactly once for each change", not wrong, _some(wrong) or f"{total} commits"
    )
    store = Store(deployment.settings.store)
    versions = {shard: {read_manifest_head(store, shard, number).data_version for number in numbers}
                for shard, numbers in commits.items()}  # fmt: skip
    untold = [shard for shard, found in versions.items() if found != reported_versions(deployment, shard)]
    yield Verdict("Dagster was told of each commit, and of no other state", not untold, _some(untold))


def judge_store(deployment: Deployment) -> Iterator[Verdict]:
    """Yield whether the dataset is that of a run from scratch, and whole."""
    index = detect(deployment.settings).index
    fresh = deployment.settings.model_copy(update={"store": str(deployment.folder / "from-scratch")})
    report = run_dataset(fresh)
    digests = (index.digest if index else None, report.index.head.digest if report.index else None)
    yield Verdict("the digest is that of a dataset made from scratch", digests[0] == digests[1], str(digests[1])[:16])
    cleaned = deployment.command("gc", "--json")
    yield Verdict("gc succeeds", cleaned.returncode == 0, _gist(cleaned.stdout or cleaned.stderr))
    verified = deployment.command("verify", "--json")
    yield Verdict("verify finds nothing", verified.returncode == 0, _gist(verified.stdout or verified.stderr))
    left = [path.name for path in (deployment.folder / "tmp").glob("image-assets-scratch-*")]
    staged = [path.name for path in (Path(deployment.settings.store) / "tmp").rglob("*") if path.is_file()]
    yield Verdict("after gc nothing of killed processes is left", not left and not staged, _some(left + staged))


def judge_memory(memory: Memory) -> Iterator[Verdict]:
    """Yield whether a server grew without bound, as far as the longest of its lives shows."""
    grown = [f"{life.name} {life.warm_mb:.0f} to {life.last_mb:.0f} MB" for life in memory.longest_lives()
             if life.last_mb > _GROWN * life.warm_mb]  # fmt: skip
    yield Verdict(f"no server grew to {_GROWN:g} times what it had when warm", not grown, _some(grown))


def judge_processes(deployment: Deployment) -> Iterator[Verdict]:
    """Yield, when the servers are stopped, whether anything still runs."""
    left = deployment.left_over
    yield Verdict("no process is left when the servers are stopped", not left, _some(left))
    ended = dict(deployment.ended_by_themselves)
    yield Verdict("no server ended without being killed", not ended, str(ended or ""))


def decoded_in(store_folder: Path) -> int:
    """Return how many images all commits of a store together decoded."""
    store = Store(str(store_folder))
    paths = store_folder.glob("shards/*/manifests/*.parquet")
    return sum(read_manifest_head(store, path.parts[-3], number_of(str(path))).counts.decoded for path in paths)


def partitions_shown(deployment: Deployment) -> dict[str, list[str]]:
    """Return which partitions of ``image_shards`` the UI shows in which state."""
    node = deployment._node(queries.PARTITIONS, "image_shards")
    return {name.removesuffix("Partitions"): found for name, found in node["assetPartitionStatuses"].items()}


def failed_assets(deployment: Deployment) -> Iterator[str]:
    """Yield the assets without partitions that the UI shows as failed or under way."""
    keys = [{"path": [deployment.name, asset]} for asset in ("training_index", "feature_vectors")]
    for found in deployment.query(queries.LAST_RUNS, keys=keys)["assetsLatestInfo"]:
        last, made = found["latestRun"] or {}, found["latestMaterialization"] or {}
        busy = found["unstartedRunIds"] or found["inProgressRunIds"]
        if busy or not made or (last.get("status") == "FAILURE" and last["id"] != made["runId"]):
            yield f"{found['assetKey']['path'][-1]}: last run {last}, made by {made}"


def told_versions(deployment: Deployment) -> dict[str, str]:
    """Return the data version of each shard's last materialization."""
    shards = shard_names(deployment.settings.num_shards)
    node = deployment._node(queries.LAST_EVENTS, "image_shards", partitions=shards)
    return {
        found["partition"]: _tags(found).get(_VERSION, "")
        for found in node["latestMaterializationByPartition"]
        if found is not None
    }


def reported_versions(deployment: Deployment, shard: str) -> set[str]:
    """Return all data versions that Dagster was ever told of a shard."""
    return {event.tags[_VERSION] for event in deployment.events("image_shards", shard)}


def commits_of(deployment: Deployment) -> dict[str, list[int]]:
    """Return the numbers of the commits of each shard."""
    store = Path(deployment.settings.store)
    return {
        shard: sorted(number_of(path.name) for path in (store / "shards" / shard / "manifests").glob("*.parquet"))
        for shard in shard_names(deployment.settings.num_shards)
    }


def held_slots(deployment: Deployment) -> list[str]:
    """Return the pools that Dagster takes for occupied."""
    keys = deployment.query(queries.SLOTS)["instance"]["concurrencyLimits"]
    return [f"{key['concurrencyKey']}: {key['activeSlotCount']}" for key in keys if key["activeSlotCount"]]


def run_facts(deployment: Deployment) -> dict[str, Any]:
    """Return how many runs there were, by what asked for them and how they ended."""
    facts: Counter[str] = Counter()
    for run in deployment.runs():
        origin = (
            "backfill" if "dagster/backfill" in run.tags else "sensor" if "dagster/sensor_name" in run.tags else "?"
        )
        facts[f"{origin} {run.status}"] += 1
        facts["retries by the daemon"] += "dagster/retry_number" in run.tags
    return dict(facts)


def _tags(found: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in found["tags"]}


def _some(found: list[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _gist(text: str) -> str:
    try:
        content = json.loads(text)
    except ValueError:
        return text.strip()[-300:]
    return ", ".join(f"{name} {value}" for name, value in content.items() if isinstance(value, int | str | bool))[:200]
