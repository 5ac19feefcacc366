"""Which files of a store are tables to a warehouse, under which names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from image_assets.pipeline.snapshots import list_snapshots
from image_assets.storage import layout
from image_assets.storage.indexes import published_head
from image_assets.storage.store import Store

# One row each, for those that are in a store.
_MEANING = {
    "images": "one row a live output image: the newest index",
    "manifests": "one row a raw image, those that failed with their reasons",
    "vectors": "one feature vector a row of images, in its order",
    "duplicates": "the group of each row of images that are alike",
    "check_results": "what the checks said, oldest first",
    "snapshots": "one row a snapshot that can be read",
}

# The columns of the table of snapshots, which are no file's: what their heads say.
SNAPSHOT_COLUMNS = {
    "number": "BIGINT",
    "digest": "VARCHAR",
    "rows": "BIGINT",
    "created_at": "VARCHAR",
    "recipe_id": "VARCHAR",
}


@dataclass(frozen=True, slots=True)
class WarehouseFiles:
    """The files of each table, as paths in the store. Tables of the newest state; ``snapshot`` is its number."""

    snapshot: int
    paths: Mapping[str, tuple[str, ...]]


def warehouse_files(store: Store) -> WarehouseFiles:
    """Return the tables of a store that are there now: ``images``, ``manifests``, and what is made of the index.

    Raises:
        DatasetError: nothing was published.
        StoreError: the store does not answer.
    """
    head = published_head(store)
    manifests = tuple(layout.manifest(shard, number) for shard, number in sorted(head.commits.items()))
    found = {"images": (layout.index(head.number),), "manifests": manifests}
    for path in (layout.FEATURE_VECTORS, *layout.FOLLOWING):
        if "/" not in path and path.endswith(".parquet") and store.exists(path):
            found[table_name(path)] = (path,)
    return WarehouseFiles(head.number, {name: paths for name, paths in found.items() if paths})


def table_name(path: str) -> str:
    """Return what the table in a file at the top of the store is called."""
    return "vectors" if path == layout.FEATURE_VECTORS else PurePosixPath(path).stem


def select_all(table: str, paths: Sequence[str]) -> str:
    """Return the query for all rows of a table that lies in these files; of manifests with the name of the shard."""
    source = f"[{', '.join(map(quoted, paths))}]"
    if table != "manifests":
        return f"SELECT * FROM read_parquet({source})"  # noqa: S608  every path in it is quoted
    shard = "regexp_extract(filename, '/shards/([^/]+)/manifests/[0-9]+[.]parquet$', 1) AS shard"
    # Commits of an older format version lack columns.
    how = "union_by_name = true, filename = true"
    return f"SELECT {shard}, * EXCLUDE (filename) FROM read_parquet({source}, {how})"  # noqa: S608  as above


def snapshot_rows(store: Store) -> list[tuple[Any, ...]]:
    """Return the rows of the table of snapshots (:data:`SNAPSHOT_COLUMNS`), oldest first.

    Raises:
        StoreError: the store does not answer or an index is damaged.
    """
    return [tuple(getattr(head, name) for name in SNAPSHOT_COLUMNS) for head in list_snapshots(store)]


def quoted(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def meaning_of(table: str) -> str:
    """Return what the rows of a table are, in a few words."""
    return _MEANING.get(table, "made of the newest index")
