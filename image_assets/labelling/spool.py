"""Parts of tasks that a file does not keep together, put together again in a file of their own."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType

_SCHEMA = """
CREATE TABLE parts (task TEXT NOT NULL, part TEXT NOT NULL);
CREATE TABLE tasks (task TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""
# Two megabytes of it are in memory.
_CACHE_KIB = 2048


class Spool:
    """Texts by the task they belong to; tasks come out in the order in which they first came in."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "spool.sqlite", isolation_level=None)
        # It is read once and thrown away: what a crash leaves of it is of no use.
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")
        self._count = 0

    def add(self, task: str, part: str) -> None:
        """Add a part."""
        self._count += 1
        self._database.execute("INSERT OR IGNORE INTO tasks VALUES (?, ?)", (task, self._count))
        self._database.execute("INSERT INTO parts VALUES (?, ?)", (task, part))

    def finish(self) -> None:
        """Make ready for reading, when all parts are there."""
        self._database.execute("CREATE INDEX by_task ON parts (task)")

    def parts(self, task: str) -> list[str]:
        """Return the parts of one task, in the order in which they came in; finished it must be."""
        rows = self._database.execute("SELECT part FROM parts WHERE task = ? ORDER BY rowid", (task,))
        return [part for (part,) in rows]

    def tasks(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Yield each task with its parts in the order in which they came in; finished it must be."""
        query = "SELECT number, task, part FROM tasks JOIN parts USING (task) ORDER BY number, parts.rowid"
        with closing(self._database.execute(query)) as rows:
            for (_, task), parts in groupby(rows, key=itemgetter(0, 1)):
                yield task, (part for _, _, part in parts)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
