"""Asking a store with SQL: DuckDB over its files, which can read these and nothing else, and write nothing."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_assets.core.errors import ConfigError, DatasetError, MissingExtraError
from image_assets.pipeline.warehouse_files import (
    SNAPSHOT_COLUMNS,
    WarehouseFiles,
    quoted,
    select_all,
    snapshot_rows,
    warehouse_files,
)
from image_assets.settings import Settings
from image_assets.storage.identity import look_into_store
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store

# What a query may hold in memory; more goes to the temporary folder.
_MEMORY = "512MB"
_FETCHED_ROWS = 1024
_COPIED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave: the names of its columns, and its rows, which come as they are asked for."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def asking(settings: Settings, query: str) -> Iterator[Answer]:
    """Yield the answer to one SQL query of a dataset's store; it can be read until the block ends.

    Raises:
        ConfigError: it is no single query that reads.
        DatasetError: nothing was published, or DuckDB refuses the query.
        StoreError: the store does not answer.
        MissingExtraError: DuckDB is not installed.
        OSError: there is no room in the temporary folder.
    """
    duckdb = load_duckdb()
    _refuse_other_statements(duckdb, query)
    store = look_into_store(settings)
    files = warehouse_files(store)
    with scratch_folder() as folder, duckdb.connect(config=_config(folder)) as connection:
        try:
            _make_views(connection, store, _named_in(query, files), folder)
            _make_snapshots(connection, store)
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            connection.execute(query)
            columns = tuple(column[0] for column in connection.description or ())
            yield Answer(columns, _rows(connection))
        except duckdb.Error as error:
            raise DatasetError(_in_one_line(error)) from error


def load_duckdb() -> Any:
    """Return the library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("DuckDB is not installed: pip install 'image_assets[sql]'") from error
    return duckdb


def _refuse_other_statements(duckdb: Any, query: str) -> None:
    """Accept one query that reads.

    Raises:
        ConfigError: it is another statement, several, or none.
        DatasetError: it is no SQL.
    """
    try:
        kinds = [statement.type.name for statement in duckdb.extract_statements(query)]
    except duckdb.Error as error:
        raise DatasetError(_in_one_line(error)) from error
    if len(kinds) != 1 or kinds[0] not in ("SELECT", "EXPLAIN"):
        found = ", ".join(kinds).lower() or "nothing"
        raise ConfigError(f"sql takes one statement that reads (select, describe, show tables, explain), not {found}")


def _config(folder: Path) -> dict[str, Any]:
    # What is loaded and looked up by itself would be a way out.
    return {
        "memory_limit": _MEMORY,
        "temp_directory": str(folder / "spilled"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }


def _named_in(query: str, files: WarehouseFiles) -> WarehouseFiles:
    """Return the tables that a query may mean: those whose names are in it, or all when none is."""
    found = {name: paths for name, paths in files.paths.items() if re.search(rf"\b{name}\b", query, re.IGNORECASE)}
    return WarehouseFiles(files.snapshot, found or files.paths)


def _make_views(connection: Any, store: Store, files: WarehouseFiles, folder: Path) -> None:
    allowed: list[str] = []
    for name, paths in files.paths.items():
        there = [_at_hand(store, path, folder / "store" / path) for path in paths]
        allowed += there
        connection.execute(f"CREATE VIEW {name} AS {select_all(name, there)}")
    connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, allowed))}]")


def _at_hand(store: Store, path: str, target: Path) -> str:
    """Return where a file of the store can be read: under a plain name that holds no wildcard.

    One of an object store is copied, a block in memory at a time: DuckDB has clients of its own for these, with
    credentials of their own, and asks for the file anew with each look at it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if store.folder is not None:
        target.symlink_to((store.folder / path).absolute())
        return str(target)
    with store.open(path) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, _COPIED_BYTES)
    return str(target)


def _make_snapshots(connection: Any, store: Store) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in SNAPSHOT_COLUMNS.items())
    connection.execute(f"CREATE TABLE snapshots ({columns})")
    marks = ", ".join("?" for _ in SNAPSHOT_COLUMNS)
    connection.executemany(f"INSERT INTO snapshots VALUES ({marks})", snapshot_rows(store))  # noqa: S608  marks


def _rows(connection: Any) -> Iterator[tuple[Any, ...]]:
    while rows := connection.fetchmany(_FETCHED_ROWS):
        yield from rows


def _in_one_line(error: Exception) -> str:
    # DuckDB shows the query with a mark below the place; the first line says what is wrong.
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    hints = [line for line in lines[1:] if line.startswith(("Did you mean", "Candidate bindings"))]
    return " ".join([*lines[:1], *hints])
