"""Who decodes bytes that several images of one run may share: the first to ask; the others take what it made."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from image_assets.core.errors import StoreError

# A claim is a row that its owner inserted first; a place or a reason in it says what became of the bytes.
_SCHEMA = """
CREATE TABLE claims (
    sha256 BLOB PRIMARY KEY, owner INTEGER NOT NULL, segment TEXT, row INTEGER, reason TEXT, detail TEXT
) WITHOUT ROWID
"""
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of some bytes: whose task has them, and where their outputs lie or why there are none."""

    owner: int
    segment: str | None = None
    row: int | None = None
    reason: str | None = None
    detail: str | None = None


class Claims(Protocol):
    """The claims of one run, wherever they are kept; cheap to send to another process."""

    def take(self, sha256: str, owner: int, lost: Collection[int]) -> Claim | None:
        """Claim bytes for a task and return None, or return the claim that another task holds.

        Args:
            lost: tasks that ended without a result; what they claimed is free again.
        """
        ...

    def made(self, places: Iterable[tuple[str, str, int]]) -> None:
        """Note where the outputs of claimed bytes lie: (sha256, segment, row) each."""
        ...

    def failed(self, sha256: str, reason: str, detail: str) -> None:
        """Note why claimed bytes have no output."""
        ...

    def release(self, sha256: str) -> None:
        """Give up a claim."""
        ...


class LocalClaims:
    """Claims in a file that all workers of this machine open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def create(cls, path: Path) -> "LocalClaims":
        """Return new claims in a file that does not exist yet."""
        with _naming(path), closing(sqlite3.connect(path)) as database:
            # Readers and a writer do not wait for each other, and every later connection finds it so.
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(_SCHEMA)
        return cls(path)

    def take(self, sha256: str, owner: int, lost: Collection[int]) -> Claim | None:
        """Claim bytes for a task and return None, or return the claim that another task holds.

        Args:
            lost: tasks that ended without a result; what they claimed is free again.
        """
        key = bytes.fromhex(sha256)
        # The insert takes the lock of a writer, done or not: nobody comes between it and the end of the block.
        with self._transaction() as database:
            if database.execute("INSERT OR IGNORE INTO claims (sha256, owner) VALUES (?, ?)", (key, owner)).rowcount:
                return None
            found = Claim(
                *database.execute(
                    "SELECT owner, segment, row, reason, detail FROM claims WHERE sha256 = ?", (key,)
                ).fetchone()
            )
            if found.segment is None and found.reason is None and found.owner == owner:
                # It was begun on a machine that was lost, and is done here once more.
                return None
            if found.segment is not None or found.reason is not None or found.owner not in lost:
                return found
            database.execute("UPDATE claims SET owner = ? WHERE sha256 = ?", (owner, key))
        return None

    def made(self, places: Iterable[tuple[str, str, int]]) -> None:
        """Note where the outputs of claimed bytes lie: (sha256, segment, row) each."""
        rows = [(segment, row, bytes.fromhex(sha256)) for sha256, segment, row in places]
        with self._transaction() as database:
            database.executemany("UPDATE claims SET segment = ?, row = ? WHERE sha256 = ?", rows)

    def failed(self, sha256: str, reason: str, detail: str) -> None:
        """Note why claimed bytes have no output."""
        with self._transaction() as database:
            database.execute(
                "UPDATE claims SET reason = ?, detail = ? WHERE sha256 = ?", (reason, detail, bytes.fromhex(sha256))
            )

    def release(self, sha256: str) -> None:
        """Give up a claim."""
        with self._transaction() as database:
            database.execute("DELETE FROM claims WHERE sha256 = ?", (bytes.fromhex(sha256),))

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __getstate__(self) -> Path:
        return self._path

    def __setstate__(self, path: Path) -> None:
        self._path, self._connection = path, None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _naming(self._path):
            if self._connection is None:
                # Whoever answers for workers elsewhere does so in threads, one at a time.
                self._connection = sqlite3.connect(self._path, timeout=_WAIT_S, check_same_thread=False)
                # It is worth nothing after the run, so it need not survive a crash of the machine.
                self._connection.execute("PRAGMA synchronous = OFF")
            with self._connection:
                yield self._connection


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what SQLite raises, over a full disk for example, into our error."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"temporary file {path} cannot be used: {error}; make room there, or set TMPDIR") from error
