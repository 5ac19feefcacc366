"""The file that remembers what servers said of URLs, so that only what changed is fetched again."""

import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from image_assets.core.errors import SourceError, SourceFileError
from image_assets.settings.sources import HttpSettings
from image_assets.sources.http_client import HttpClient, Validators

_FIND = "SELECT etag, last_modified, length, checked_at FROM validators WHERE url = ?"
_TABLE = """
CREATE TABLE IF NOT EXISTS validators (
    url TEXT PRIMARY KEY, etag TEXT, last_modified TEXT, length TEXT, checked_at REAL NOT NULL
) WITHOUT ROWID
"""
# Kept this often, so that a listing that is broken off goes on where it was.
_URLS_A_COMMIT = 256
_LOCK_S = 30.0


class VersionBook:
    """Versions of URLs by what their servers said last; each is asked at most once in ``recheck_s``.

    A server that does not answer leaves the version as it was: that an image cannot be had now is no change of it.
    Used as a context manager.
    """

    def __init__(self, path: Path, settings: HttpSettings) -> None:
        self._path = path
        self._settings = settings

    def __enter__(self) -> "VersionBook":
        with self._own_errors():
            self._book = sqlite3.connect(self._path, timeout=_LOCK_S)
            self._book.execute(_TABLE)
        return self

    def __exit__(self, *exc: object) -> None:
        self._book.close()

    def versions(self, client: HttpClient, urls: Sequence[str]) -> dict[str, str]:
        """Return the version of each URL whose server ever said something that changes with the bytes.

        Raises:
            SourceError: the file cannot be used.
        """
        with self._own_errors():
            known, due = self._known(urls)
            answers = self._answers(client, due, known)
            while said := dict(islice(answers, _URLS_A_COMMIT)):
                known |= said
                self._remember(said)
        return {url: validators.version() for url, validators in known.items() if validators}

    def _known(self, urls: Sequence[str]) -> tuple[dict[str, Validators], list[str]]:
        """Return what is known of the URLs, and which are to be asked about again."""
        known, due = {}, []
        oldest = time.time() - self._settings.recheck_s
        for url in urls:
            row = self._book.execute(_FIND, (url,)).fetchone()
            if row is not None:
                known[url] = Validators(*row[:3])
            if row is None or not oldest < row[3] <= time.time():
                due.append(url)
        return known, due

    def _answers(
        self, client: HttpClient, urls: Sequence[str], known: dict[str, Validators]
    ) -> Iterator[tuple[str, Validators]]:
        lines: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(self._settings.per_host))

        def ask(url: str) -> tuple[str, Validators]:
            before = known.get(url, Validators())
            with lines[url.partition("://")[2].partition("/")[0]]:
                try:
                    return url, client.validators(url, before) or before
                except SourceFileError:
                    return url, before

        with ThreadPoolExecutor(self._settings.connections) as threads:
            yield from threads.map(ask, urls)

    def _remember(self, said: dict[str, Validators]) -> None:
        now = time.time()
        rows = [(url, item.etag, item.last_modified, item.length, now) for url, item in said.items()]
        with self._book:
            self._book.executemany("INSERT OR REPLACE INTO validators VALUES (?, ?, ?, ?, ?)", rows)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SourceError(f"source.http.validators {self._path} cannot be used: {error}") from error
