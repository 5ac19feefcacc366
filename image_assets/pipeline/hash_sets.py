"""A set of very many hashes that takes no more memory than a small one."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from image_assets.core.errors import StoreError


class HashSet:
    """Hashes in a database without a name: its first two megabytes in memory, the rest in the temporary folder.

    It ends with the process, however that ends.
    """

    def __init__(self) -> None:
        with _naming_the_folder():
            self._database = sqlite3.connect("", isolation_level=None)
            self._database.execute("CREATE TABLE hashes (hash BLOB PRIMARY KEY) WITHOUT ROWID")
            # It is never undone, so that no transaction need ever end.
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("BEGIN")

    def add(self, hashes: Iterable[str]) -> None:
        """Add hashes, hexadecimal.

        Raises:
            StoreError: the temporary folder has no room.
        """
        with _naming_the_folder():
            rows = ((bytes.fromhex(item),) for item in hashes)
            self._database.executemany("INSERT OR IGNORE INTO hashes VALUES (?)", rows)

    def __contains__(self, item: str) -> bool:
        with _naming_the_folder():
            found = self._database.execute("SELECT 1 FROM hashes WHERE hash = ?", (bytes.fromhex(item),))
            return found.fetchone() is not None

    def __len__(self) -> int:
        with _naming_the_folder():
            return int(self._database.execute("SELECT count(*) FROM hashes").fetchone()[0])


@contextmanager
def _naming_the_folder() -> Iterator[None]:
    """Say what to do about a temporary folder that is full.

    Raises:
        StoreError: it is.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the temporary folder cannot be used: {error}; make room there, or set TMPDIR") from error
