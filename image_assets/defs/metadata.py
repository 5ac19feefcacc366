"""Reports of the pipeline as metadata that Dagster shows; only int and float are plotted."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from image_assets.core.listing import UNKNOWN_SIZE
from image_assets.defs.plain_tables import plain, table
from image_assets.pipeline.detect import State
from image_assets.pipeline.indexing import IndexReport
from image_assets.pipeline.logs import log_path
from image_assets.pipeline.metrics import run_metrics
from image_assets.pipeline.preprocess import ShardReport
from image_assets.settings import Settings, is_url

_SHOWN_FAILURES = 20
_SHOWN_NOTES = 10
_MEBIBYTE = 2**20


def shard_metadata(settings: Settings, report: ShardReport, peak_memory_bytes: int) -> dict[str, Any]:
    """Return a shard's run metrics, what this run did to it, and the first failed images in words.

    Args:
        peak_memory_bytes: of the whole run so far, all its processes together.
    """
    head, counts = report.head, report.counts
    metadata: dict[str, Any] = {
        "images": head.images,
        **asdict(counts),
        **run_metrics(settings, [head]),
        "failed_fraction": head.failed_images / head.images if head.images else 0.0,
        "output_bytes": head.output_bytes,
        "peak_memory_mib": round(peak_memory_bytes / _MEBIBYTE, 1),
        "commit": head.number,
        "recipe_id": head.recipe_id,
    }
    if report.unchanged:
        metadata["processing_time_sec"] = 0.0
    else:
        looked_at = counts.wanted - counts.kept
        metadata["busy_sec"] = head.busy_sec
        metadata["images_per_sec"] = round(looked_at / max(head.processing_time_sec, 0.001), 1)
    if report.failures.num_rows:
        metadata["failed_now"] = dg.MetadataValue.md(_failure_table(report.failures))
    return metadata


def index_metadata(report: IndexReport, seconds: float) -> dict[str, Any]:
    """Return an index's totals and how it came to be.

    Args:
        seconds: how long this took.
    """
    head = report.head
    return {
        **head.totals,
        "dagster/row_count": head.rows,
        "digest": head.digest,
        "index_number": head.number,
        "shards": len(head.commits),
        "published_now": report.published,
        "seconds": round(seconds, 3),
        "note": report.why or "published",
    }


def listing_metadata(state: State, shard: str) -> dict[str, Any]:
    """Return what an observation says of a shard's part of a source, and of the source as a whole."""
    listing = state.wanted.listing
    sizes = listing.shard(shard)["size_bytes"].to_numpy()
    metadata: dict[str, Any] = {
        "images": len(sizes),
        "bytes": int(sizes[sizes != UNKNOWN_SIZE].sum()),
        "images_in_the_source": listing.num_rows,
    }
    # A listing that is made in slices counts none.
    if listing.ignored:
        metadata["other_files"] = listing.ignored
    if listing.notes:
        rows = [[plain(note)] for note in listing.notes[:_SHOWN_NOTES]]
        metadata["notes"] = dg.MetadataValue.md(table(["found in the source"], rows, len(listing.notes) - len(rows)))
    return metadata


def place_metadata(settings: Settings, file: str | None) -> Mapping[str, Any]:
    """Return where a file of the store and the pipeline's log lie, as definition metadata.

    Args:
        file: its path in the store; None for what has none.
    """
    # The store is not opened: definitions load where no credentials are, and while a bucket does not answer.
    base = None if is_url(settings.store) else settings.store
    metadata: dict[str, Any] = {"pipeline_log": dg.MetadataValue.path(str(log_path(settings)))}
    if file is not None:
        uri = (Path(base) / file).as_uri() if base is not None else f"{settings.store.partition('?')[0]}/{file}"
        metadata["dagster/uri"] = uri + ("/" if file.endswith("/") and not uri.endswith("/") else "")
    return metadata


def _failure_table(failures: pa.Table) -> str:
    found = failures.select(["key", "reason", "detail"]).slice(0, _SHOWN_FAILURES).to_pylist()
    rows = [[plain(row["key"]), str(row["reason"]), plain(row["detail"] or "")] for row in found]
    return table(["image", "reason", "detail"], rows, failures.num_rows - len(rows))
