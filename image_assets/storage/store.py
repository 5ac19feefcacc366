"""Bytes at paths: the few verbs that every file of the platform goes through, on any object store or a folder."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import obstore
import pyarrow as pa
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from image_assets.core.errors import StoreError
from image_assets.settings import is_url
from image_assets.storage.files import write_whole


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a listing; ``path`` is relative to the store, ``modified_at`` seconds since 1970 by its clock."""

    path: str
    size_bytes: int
    modified_at: float


class Store:
    """A folder or an object store prefix. Every write is atomic: a file is there whole or not at all."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Open a store; a folder is created if needed, or without ``create`` looked at as if it were empty.

        Raises:
            StoreError: the folder cannot be made, or the URL is none that obstore knows.
        """
        self.url = url
        self.folder = None if is_url(url) else Path(url)
        self._store: ObjectStore
        try:
            if self.folder is None:
                self._store = from_url(url)
            elif create or self.folder.exists():
                self._store = LocalStore(self.folder, mkdir=create)
            else:
                self._store = MemoryStore()
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"store {url} cannot be opened: {_first_line(error)}") from error

    def get(self, path: str) -> pa.Buffer:
        """Return a file's bytes.

        Raises:
            StoreError: it does not exist or cannot be read.
        """
        with self.translating("read", path):
            return pa.py_buffer(obstore.get(self._store, path).bytes())

    def open(self, path: str) -> pa.NativeFile:
        """Return a file for random reads, without loading it.

        Raises:
            StoreError: it does not exist or cannot be read.
        """
        with self.translating("open", path):
            if self.folder is not None:
                return pa.OSFile(str(self.folder / path))
            return pa.PythonFile(_ObjectFile(self, path, obstore.open_reader(self._store, path)), mode="r")

    def put(self, path: str, data: bytes | Path) -> None:
        """Write a file whole, over one that is there.

        Raises:
            StoreError: it cannot be written.
        """
        with self.translating("write", path):
            if self.folder is not None:
                write_whole(self.folder, path, data, replace=True)
                return
            # In parts a large file is never in memory as a whole; it still appears at once.
            obstore.put(self._store, path, data, use_multipart=None if isinstance(data, Path) else False)

    def put_if_absent(self, path: str, data: bytes | Path) -> bool:
        """Write a file whole if there is none; return whether this call wrote it.

        Raises:
            StoreError: it cannot be written.
        """
        with self.translating("write", path):
            if self.folder is not None:
                return write_whole(self.folder, path, data, replace=False)
            try:
                # A multipart upload would not honour the condition.
                obstore.put(self._store, path, data, mode="create", use_multipart=False)
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def exists(self, path: str) -> bool:
        """Return whether a file is there.

        Raises:
            StoreError: the store does not answer.
        """
        with self.translating("look at", path):
            try:
                obstore.head(self._store, path)
            except (NotFoundError, FileNotFoundError):
                return False
        return True

    def delete(self, path: str) -> None:
        """Remove a file; one that is gone already is no error.

        Raises:
            StoreError: it cannot be removed.
        """
        with self.translating("delete", path), suppress(NotFoundError, FileNotFoundError):
            obstore.delete(self._store, path)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the files below a folder of the store, in no particular order.

        Raises:
            StoreError: the store does not answer.
        """
        with self.translating("list", prefix):
            for chunk in obstore.list(self._store, prefix=prefix):
                for entry in chunk:
                    yield StoredFile(entry["path"], entry["size"], entry["last_modified"].timestamp())

    @contextmanager
    def translating(self, verb: str, path: str) -> Iterator[None]:
        """Turn what a library raises over a file of this store into our error.

        Raises:
            StoreError: what was tried with which file, and why it failed.
        """
        try:
            yield
        except (BaseError, OSError) as error:
            raise StoreError(f"cannot {verb} {path!r} in store {self.url}: {_first_line(error)}") from error


class _ObjectFile(io.RawIOBase):
    """An object as a file that pyarrow reads: obstore's own lacks ``closed``, and its errors are not ours."""

    def __init__(self, store: Store, path: str, reader: "obstore.ReadableFile") -> None:
        self._store = store
        self._path = path
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()

    def read(self, size: int = -1, /) -> bytes:
        with self._store.translating("read", self._path):
            return self._reader.read(None if size < 0 else size).to_bytes()


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
