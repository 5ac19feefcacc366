"""Backfills of all shards and of chosen ones, one after the other, while everything is killed at random times."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image_assets.core.sharding import shard_names
from image_assets_tests.defs.keys import keys_in
from image_assets_tests.soak import queries
from image_assets_tests.soak.deployment import Deployment, make_folder, remove_folder
from image_assets_tests.soak.judging import (
    Verdict,
    commits_of,
    decoded_in,
    judge_commits,
    judge_memory,
    judge_processes,
    judge_runs,
    judge_store,
    judge_ui,
    partitions_shown,
    run_facts,
)
from image_assets_tests.soak.killing import Killer
from image_assets_tests.soak.memory import Memory
from image_assets_tests.soak.options import Options
from image_assets_tests.soak.photographs import LABELS, fill, photograph, put
from image_assets_tests.soak.quiet import start_sensor, stop_sensor, wait_until_quiet
from image_assets_tests.soak.report import print_facts, print_memory, print_verdicts

ASSETS = ("image_shards", "training_index", "feature_vectors")
# One run is started for each block of neighbours.
_CHOSEN_BLOCKS, _BLOCK = 10, 10
_ENDED = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
_BACKFILL_TIMEOUT_S = 1800.0
_QUIET_TIMEOUT_S = 900.0


@dataclass(slots=True)
class Story:
    """What was asked for so far: how often each shard must have been committed, and how each backfill ended."""

    commits: dict[str, int]
    endings: list[dict[str, Any]] = field(default_factory=list)
    changed: int = 0


def soak_backfill(options: Options) -> bool:
    """Run backfills for some minutes under kills; return whether every claim holds at the end."""
    folder = make_folder(options.folder)
    deployment = Deployment(folder, "soak", options.postgres, **settings_of(options))
    fill(Path(deployment.settings.source.path), options.images)
    story = Story(dict.fromkeys(shard_names(options.shards), 1))
    holds = True
    with deployment:
        # Alone: with the sensor on, its own run would have everything done before the backfill begins.
        stop_sensor(deployment)
        deployment.start("daemon")
        killer = Killer(deployment, options)
        memory = Memory(deployment)
        memory.start()
        killer.start()
        try:
            _run_backfills(deployment, story, options)
        finally:
            killer.stop()
        print_facts({f"backfill {number}": found for number, found in enumerate(story.endings, 1)})
        shown = {name: len(found) for name, found in partitions_shown(deployment).items() if found}
        print_facts({"partitions before the sensor is on": shown, "kills": dict(killer.counts())})
        holds &= print_verdicts(_judge_backfills(story))
        start_sensor(deployment)
        quiet = wait_until_quiet(deployment, _QUIET_TIMEOUT_S)
        print_facts({"the sensor is quiet": quiet, "runs": run_facts(deployment)})
        for judge in (judge_runs(deployment), judge_ui(deployment), judge_commits(deployment, story.commits)):
            holds &= print_verdicts(judge)
        holds &= print_verdicts(judge_store(deployment))
        holds &= print_verdicts(_judge_decoding(deployment, story, options))
        memory.stop()
        print_memory(memory)
        holds &= print_verdicts(judge_memory(memory))
    holds &= print_verdicts(judge_processes(deployment))
    if options.folder is None and holds:
        remove_folder(folder)
    else:
        print(f"kept in {folder}")
    return holds


def settings_of(options: Options) -> dict[str, Any]:
    """Return the settings of a soak's dataset: small outputs, real work in processes, cheap vectors."""
    return {
        "num_shards": options.shards,
        "image": {"width_px": 64, "height_px": 64},
        "features": {"extractor": "colour-moments"},
        "exports": ["csv"],
        "workers": 2,
        "trigger": {"interval_s": 2, "backoff_s": 5},
        # Broken files come at random, and a few of them are half of a small shard.
        "checks": {"failed_fraction": {"error": 1.0}},
    }


def _run_backfills(deployment: Deployment, story: Story, options: Options) -> None:
    chosen = random.Random(f"shards {options.seed}")
    shards = shard_names(options.shards)
    until = time.monotonic() + 60 * options.minutes
    partitions: Sequence[str] = shards
    while True:
        story.endings.append(_run_backfill(deployment, partitions))
        if time.monotonic() > until:
            return
        blocks = [shards[first : first + _BLOCK] for first in range(0, len(shards), _BLOCK)]
        taken = chosen.sample(blocks, min(_CHOSEN_BLOCKS, len(blocks)))
        partitions = sorted(shard for block in taken for shard in block)
        commits = commits_of(deployment)
        for shard in partitions:
            story.changed += 1
            story.commits[shard] = len(commits[shard]) + 1
            _change(deployment, shard, story.changed)


def _run_backfill(deployment: Deployment, partitions: Sequence[str]) -> dict[str, Any]:
    began_at = time.monotonic()
    if len(partitions) == deployment.settings.num_shards:
        keys = [{"path": [deployment.name, asset]} for asset in ASSETS]
        launched = deployment.query(queries.BACKFILL_ALL, parameters={"assetSelection": keys, "allPartitions": True})
        backfill = str(launched["launchPartitionBackfill"]["backfillId"])
    else:
        backfill = deployment.launch_backfill(ASSETS, partitions)
    print(f"backfill {backfill} of {len(partitions)} partitions", flush=True)

    def seen() -> dict[str, Any]:
        found: dict[str, Any] = deployment.query(queries.BACKFILL, id=backfill)["partitionBackfillOrError"]
        return found

    deployment.wait_until(lambda: seen()["status"] in _ENDED, "the backfill ends", _BACKFILL_TIMEOUT_S)
    found = seen()
    statuses = {item["assetKey"]["path"][-1]: {name: value for name, value in item.items() if name != "assetKey"}
                for item in found["assetBackfillData"]["assetBackfillStatuses"]}  # fmt: skip
    runs = [run for run in deployment.runs() if run.tags.get("dagster/backfill") == backfill]
    return {
        "status": found["status"],
        "partitions": len(partitions),
        "seconds": round(time.monotonic() - began_at),
        "runs": len(runs),
        "failed runs": sum(run.status == "FAILURE" for run in runs),
        "shards": statuses["image_shards"],
    }


def _change(deployment: Deployment, shard: str, number: int) -> None:
    """Put one new image into a shard."""
    (key,) = keys_in(shard, 1, prefix=f"{LABELS[0]}/new{number}-")
    put(Path(deployment.settings.source.path), key, photograph(1_000_000 + number))


def _judge_backfills(story: Story) -> list[Verdict]:
    wrong = [f"{number}: {found['status']}" for number, found in enumerate(story.endings, 1)
             if found["status"] != "COMPLETED_SUCCESS"]  # fmt: skip
    return [Verdict("each backfill ended as COMPLETED_SUCCESS", not wrong, ", ".join(wrong))]


def _judge_decoding(deployment: Deployment, story: Story, options: Options) -> list[Verdict]:
    """Return whether what was committed was decoded once.

    All commits together decoded at most what a run from scratch does; less where a run found what a killed one made.
    """
    committed = decoded_in(Path(deployment.settings.store))
    fresh = decoded_in(deployment.folder / "from-scratch")
    found = f"{committed} in all commits, {fresh} from scratch, {options.images + story.changed} files"
    return [Verdict("no committed image was decoded twice", committed <= fresh, found)]
