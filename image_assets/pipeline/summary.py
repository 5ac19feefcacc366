"""What the command line says of a run, a plan, a dataset: plain dictionaries, ready for JSON."""

from dataclasses import asdict
from typing import Any

from image_assets.core.sharding import shard_names
from image_assets.pipeline.detect import RunOptions, committed_heads
from image_assets.pipeline.logs import pipeline_log
from image_assets.pipeline.memory import PeakMemory
from image_assets.pipeline.metrics import run_metrics
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.run import RunReport, run_dataset
from image_assets.pipeline.verify import newest_index, verify_dataset
from image_assets.settings import Settings
from image_assets.storage.forgotten import is_forgetting_pending
from image_assets.storage.identity import look_into_store


def run_summary(settings: Settings, options: RunOptions) -> tuple[dict[str, Any], RunReport]:
    """Run a dataset and return what to say of it, and the report.

    Raises:
        ImageAssetsError: something is wrong with more than single images.
    """
    with PeakMemory() as memory, pipeline_log(settings) as log:
        report = run_dataset(settings, options)
    published = [shard.head for shard in report.shards if shard.published]
    missing = len(report.shards) - len(published)
    summary: dict[str, Any] = {
        "dataset": settings.name,
        **run_metrics(settings, published, missing_shards=missing),
        **asdict(report.counts),
        "embedded": report.embedded,
        "shards_total": settings.num_shards,
        "shards_run": sum(not shard.unchanged for shard in report.shards),
        "shards_refused": [shard.shard for shard in report.shards if not shard.published],
        "ignored_files": report.ignored_files,
        "digest": report.index.head.digest if report.index is not None else None,
        "engine": report.engine,
        "processing_time_sec": round(report.seconds, 3),
        "peak_memory_bytes": memory.peak_bytes,
        "store": settings.store,
        "log": str(log),
    }
    # A refused shard's images are in no published state, but its bad ones were met in this run.
    summary["corrupted_images"] += sum(shard.head.failed_images for shard in report.shards if not shard.published)
    summary["notes"] = _notes(report)
    if is_forgetting_pending(look_into_store(settings)):
        summary["notes"].append("`image-assets forget` was interrupted; call it again to finish it")
    return summary, report


def plan_summary(settings: Settings, options: RunOptions) -> dict[str, Any]:
    """Return what a run would do.

    Raises:
        ImageAssetsError: as a run would.
    """
    report = plan_dataset(settings, options)
    counts = asdict(report.counts)
    counts.pop("failed")
    return {
        "dataset": settings.name,
        **counts,
        "embedded": report.embedded,
        "estimated_sec": report.estimated_sec,
        "shards_total": report.shards_total,
        "shards_to_run": len(report.touched),
    }


def status_summary(settings: Settings) -> dict[str, Any]:
    """Return what a dataset holds.

    Raises:
        DatasetError: nothing was published yet.
        StoreError: the store does not answer or belongs to another dataset.
    """
    store = look_into_store(settings)
    index = newest_index(settings, store)
    heads = committed_heads(store, shard_names(index.num_shards))
    missing = index.num_shards - len(heads)
    return {
        "dataset": index.dataset,
        **run_metrics(settings, list(heads.values()), missing_shards=missing),
        "rows": index.rows,
        "digest": index.digest,
        "index_number": index.number,
        "created_at": index.created_at,
        "recipe_id": index.recipe_id,
        "shards_total": index.num_shards,
        "shards_committed": len(heads),
        "store": settings.store,
    }


def verify_summary(settings: Settings) -> dict[str, Any]:
    """Return what re-reading the whole dataset found.

    Raises:
        DatasetError: nothing was published yet.
        StoreError: the store does not answer.
    """
    report = verify_dataset(settings)
    return {
        "dataset": settings.name,
        "segments": report.segments,
        "images": report.images,
        "problems": list(report.problems),
    }


def _notes(report: RunReport) -> list[str]:
    notes = list(report.notes)
    for shard in report.shards:
        notes += [f"shard {shard.shard}: {verdict.sentence}" for verdict in shard.verdicts if verdict.blocks]
    if report.index is not None and report.index.why and report.index.why != "nothing changed":
        notes.append(report.index.why)
    return notes
