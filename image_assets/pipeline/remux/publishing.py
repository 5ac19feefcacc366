"""What stands beside the parts when all are there: the quarantine, the dataset card, and the manifest as the last."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.formats.dataset_card import dataset_card
from image_assets.formats.publishing import published_whole
from image_assets.pipeline.remux.journal import Journal
from image_assets.pipeline.remux.options import RemuxOptions
from image_assets.storage.files import sync_folder

MANIFEST, CARD, QUARANTINE = "manifest.json", "README.md", "quarantine.parquet"
QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("sha256", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Finished:
    """All parts of a remux; ``split`` is the one they make up, ``rows`` are those that have an output."""

    split: str
    parts: int
    rows: int


def publish(options: RemuxOptions, finished: Finished, journal: Journal) -> None:
    """Write everything but the parts; the same parts give the same bytes.

    Raises:
        OSError: a file cannot be written.
    """
    _write_quarantine(options.out_dir / QUARANTINE, journal)
    _write_text(options.out_dir / CARD, _card(options, finished))
    _write_text(options.out_dir / MANIFEST, json.dumps(manifest_of(options, finished), indent=2) + "\n")
    sync_folder(options.out_dir)


def manifest_of(options: RemuxOptions, finished: Finished) -> dict[str, Any]:
    """Return the nine fields of the manifest."""
    return {
        "dataset": options.dataset,
        "subset": options.subset,
        "split": options.split,
        "rows": finished.rows,
        "parts": finished.parts,
        "rows_per_shard": options.rows_per_shard,
        "image_format": options.image_format,
        "jpeg_quality": options.jpeg_quality,
        "seed": options.seed,
    }


def _write_quarantine(target: Path, journal: Journal) -> None:
    with published_whole(target) as aside:
        with pq.ParquetWriter(aside, QUARANTINE_SCHEMA, compression="zstd") as writer:
            for rows in _quarantined(journal):
                writer.write_table(pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA))
        _sync(aside)


def _quarantined(journal: Journal) -> Iterator[list[dict[str, Any]]]:
    for number in sorted(journal.numbers):
        if rows := journal.entry(number)["quarantined"]:
            yield rows


def _card(options: RemuxOptions, finished: Finished) -> str:
    """Return a dataset card by which ``load_dataset`` finds the parts, and nothing else in the folder."""
    pattern = f"{finished.split}-*.parquet" if options.names == "hub" else "part-*.parquet"
    how = f"the function `{options.function}`" if options.function else "the preset `remux`"
    source = f"{options.dataset}{f' ({options.subset})' if options.subset else ''}"
    text = (
        f"{finished.rows} images of `{source}`, split `{options.split}`, preprocessed with {how}, "
        f"seed {options.seed}, stored as {options.image_format.upper()}. Rows whose image could not be decoded are in "
        f"`{QUARANTINE}`."
    )
    return dataset_card({finished.split: pattern}, text)


def _write_text(target: Path, text: str) -> None:
    with published_whole(target) as aside:
        aside.write_text(text, encoding="utf-8")
        _sync(aside)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
