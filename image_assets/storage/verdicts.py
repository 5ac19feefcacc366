"""What the checks said: the last so many verdicts, in one small file that a warehouse can read."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from image_assets.checks.base import Verdict
from image_assets.core.errors import StoreError
from image_assets.core.heads import FORMAT_VERSION, seal
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets.storage.tables import read_table, to_parquet

# Of 64 shards and 20 checks this is some ten changed runs; 1 MB.
KEPT_ROWS = 10_000
RESULTS_SCHEMA = pa.schema(
    [
        pa.field("at", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("index_number", pa.int64(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("check", pa.string(), nullable=False),
        pa.field("passed", pa.bool_(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),
        pa.field("sentence", pa.string(), nullable=False),
        pa.field("numbers", pa.string(), nullable=False),
    ]
)


def keep_verdicts(store: Store, index_number: int, verdicts: Mapping[str, Sequence[Verdict]], *, at: Any) -> int:
    """Add what checks said to the file, oldest first, and return how many verdicts were new.

    A verdict that is the last of its subject and check already, of the same index, is not added again, and a file to
    which nothing is added is not written. Of two runs at the same moment one may lose what the other said.

    Args:
        verdicts: by what they judge: a shard's name, ``training_index``, a follower's name.
        at: a time with a zone.

    Raises:
        StoreError: the store does not answer, or the file cannot be written.
    """
    if not any(verdicts.values()):
        return 0
    before = read_verdicts(store)
    last = {name: _said(row) for name, row in _last(before).items()}
    found = [
        {"at": at, "index_number": index_number, "subject": subject, **_row(verdict)}
        for subject, said in verdicts.items()
        for verdict in said
    ]
    new = [row for row in found if last.get((row["subject"], row["check"])) != _said(row)]
    if new:
        rows = pa.concat_tables([before, pa.Table.from_pylist(new, RESULTS_SCHEMA)])
        rows = rows.slice(max(0, rows.num_rows - KEPT_ROWS))
        store.put(layout.CHECK_RESULTS, to_parquet(rows, seal({"rows": len(rows), "format_version": FORMAT_VERSION})))
    return len(new)


def read_verdicts(store: Store) -> pa.Table:
    """Return what the checks said (:data:`RESULTS_SCHEMA`), oldest first; nothing when the file is gone or damaged.

    Raises:
        StoreError: the store does not answer.
    """
    if not store.exists(layout.CHECK_RESULTS):
        return RESULTS_SCHEMA.empty_table()
    try:
        return read_table(store, layout.CHECK_RESULTS, RESULTS_SCHEMA.names)[1].cast(RESULTS_SCHEMA)
    except (StoreError, pa.ArrowException):
        # It tells of the past and nothing is made of it: a damaged one is begun anew.
        return RESULTS_SCHEMA.empty_table()


def last_verdicts(store: Store, subjects: Collection[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the last verdict (:data:`RESULTS_SCHEMA`) on each of some subjects by each check; nothing of others.

    Raises:
        StoreError: the store does not answer.
    """
    return {name: row for name, row in _last(read_verdicts(store)).items() if name[0] in subjects}


def _last(rows: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    placed = rows.append_column("place", pa.array(range(rows.num_rows), pa.int64()))
    last = placed.group_by(["subject", "check"], use_threads=False).aggregate([("place", "max")])
    return {(row["subject"], row["check"]): row for row in rows.take(last["place_max"]).to_pylist()}


def _row(verdict: Verdict) -> dict[str, Any]:
    numbers = json.dumps(dict(verdict.numbers), sort_keys=True, default=str)
    return {
        "check": verdict.check, "passed": verdict.passed, "severity": verdict.severity, "sentence": verdict.sentence,
        "numbers": numbers,
    }  # fmt: skip


def _said(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["index_number"], row["passed"], row["severity"], row["sentence"], row["numbers"])
