"""Reports of the pipeline as metadata that Dagster shows; only int and float are plotted."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import dagster as dg
import pyarrow as pa

from image_assets.core.index import INDEX_SCHEMA
from image_assets.pipeline.indexing import IndexReport
from image_assets.pipeline.metrics import run_metrics
from image_assets.pipeline.preprocess import ShardReport
from image_assets.settings import Settings

_SHOWN_FAILURES = 20


def shard_metadata(settings: Settings, report: ShardReport) -> dict[str, Any]:
    """Return a shard's run metrics, what this run did to it, and the first failed images in words."""
    head = report.head
    metadata: dict[str, Any] = {
        **run_metrics(settings, [head]),
        **asdict(report.counts),
        "images": head.images,
        "failed_fraction": head.failed_images / head.images if head.images else 0.0,
        "commit": head.number,
        "recipe_id": head.recipe_id,
    }
    if report.unchanged:
        metadata["processing_time_sec"] = 0.0
    if report.failures.num_rows:
        metadata["failed_now"] = dg.MetadataValue.md(_failure_table(report.failures))
    return metadata


def index_metadata(report: IndexReport) -> dict[str, Any]:
    """Return an index's totals and how it came to be."""
    head = report.head
    return {
        **head.totals,
        "dagster/row_count": head.rows,
        "digest": head.digest,
        "index_number": head.number,
        "shards": len(head.commits),
        "published_now": report.published,
        "note": report.why or "published",
    }


def index_columns() -> Mapping[str, Any]:
    """Return the index's column schema as definition metadata."""
    return {"dagster/column_schema": _table_schema(INDEX_SCHEMA)}


def _table_schema(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in schema])


def _failure_table(failures: pa.Table) -> str:
    rows = failures.select(["key", "reason", "detail"]).slice(0, _SHOWN_FAILURES).to_pylist()
    lines = [f"| {_cell(row['key'])} | {row['reason']} | {_cell(row['detail'] or '')} |" for row in rows]
    more = failures.num_rows - len(rows)
    return "\n".join(
        ["| image | reason | detail |", "|---|---|---|", *lines, *([f"| … {more} more | | |"] if more else [])]
    )


def _cell(text: str) -> str:
    # Keys and details come from strangers' files: no markup, no table breaks.
    plain = text.encode("ascii", "backslashreplace").decode()[:160]
    return "".join(f"&#{ord(char)};" if char in "|<>&`[]()*_!\\" or not char.isprintable() else char for char in plain)
