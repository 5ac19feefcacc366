"""Bytes at paths: the few verbs that every file of the platform goes through, on any object store or a folder."""

import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
import pyarrow as pa
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore, ObjectStore

from image_assets.core.errors import StoreError
from image_assets.settings import is_url
from image_assets.sources.object_stores import error_text, open_object_store
from image_assets.storage import layout
from image_assets.storage.files import write_whole
from image_assets.storage.object_file import ObjectFile

if TYPE_CHECKING:
    from obstore import GetOptions

# A smaller object is read as a whole: a Parquet file is read in dozens of pieces, and each would cost an answer.
_AT_ONCE_BYTES = 4 * 2**20
# The head of a manifest of ten thousand images, and what Parquet says of its columns, take 16 kB.
_END_BYTES = 64 * 2**10
# A larger file goes to an object store in parts, so that this many times these bytes are in memory at most.
_PART_BYTES = 8 * 2**20
_PARTS_AT_ONCE = 4
# What Google and S3, and what Azure, say of an upload in parts that was completed or given up before.
_NO_SUCH_UPLOAD = ("(NoSuchUpload)", "(InvalidBlockList)")
_NO_CONDITIONS = (
    "does not support conditional writes (If-None-Match), which keep two runs from undoing each other; use a bucket "
    "that does (Amazon S3, Google Cloud Storage, Azure, Cloudflare R2, a recent MinIO) or a folder"
)


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
            StoreError: the folder cannot be made.
            ConfigError: the URL is wrong, or there are no credentials for it.
        """
        self.url = url
        self.folder = None if is_url(url) else Path(url)
        self._store: ObjectStore
        try:
            if self.folder is None:
                self._store = open_object_store(url)
            elif create or self.folder.exists():
                self._store = LocalStore(self.folder, mkdir=create)
            else:
                self._store = MemoryStore()
        except (BaseError, OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else _first_line(error)
            remedy = "make it readable and writable for this user, or correct store (--store)"
            raise StoreError(f"store {url} cannot be opened: {said}; {remedy}") from error

    def get(self, path: str) -> pa.Buffer:
        """Return a file's bytes.

        Raises:
            StoreError: it does not exist or cannot be read.
        """
        with self.translating("read", path):
            if self.folder is not None:
                return pa.py_buffer((self.folder / path).read_bytes())
            return pa.py_buffer(obstore.get(self._store, path).bytes())

    def open(self, path: str) -> pa.NativeFile:
        """Return a file for random reads, without loading it.

        Raises:
            StoreError: it does not exist or cannot be read.
        """
        with self.translating("open", path):
            if self.folder is not None:
                return pa.OSFile(str(self.folder / path))
            found = obstore.get(self._store, path)
            size_bytes = found.meta["size"]
            if size_bytes <= _AT_ONCE_BYTES:
                return pa.BufferReader(pa.py_buffer(found.bytes()))
            fetch = partial(self._range, path, found.meta["e_tag"])
            return pa.PythonFile(ObjectFile(size_bytes, fetch), mode="r")

    def open_end(self, path: str, size_bytes: int) -> pa.NativeFile:
        """Return a file whose size is known, to read what stands at its end: of an object that alone is fetched.

        Raises:
            StoreError: it does not exist, is shorter, or cannot be read.
        """
        if self.folder is not None:
            return self.open(path)
        fetch = partial(self._range, path, None)
        end = fetch(max(0, size_bytes - _END_BYTES), size_bytes)
        return pa.PythonFile(ObjectFile(size_bytes, fetch, end), mode="r")

    def put(self, path: str, data: bytes | Path) -> None:
        """Write a file whole, over one that is there.

        Raises:
            StoreError: it cannot be written.
        """
        with self.translating("write", path):
            if self.folder is not None:
                write_whole(self.folder, path, data, replace=True)
                return
            self._upload(path, data)

    def put_if_absent(self, path: str, data: bytes | Path) -> bool:
        """Write a file whole if there is none; return whether this call wrote it.

        Raises:
            StoreError: it cannot be written.
        """
        with self.translating("write", path):
            if self.folder is not None:
                return write_whole(self.folder, path, data, replace=False)
            try:
                if _is_large(data):
                    return not self.exists(path) and self._upload_if_absent(path, data)
                obstore.put(self._store, path, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def refuse_unconditional(self) -> None:
        """Accept a bucket that honours conditions; one that does not would lose commits without a word.

        It costs some requests: ask once, before the first commit.

        Raises:
            StoreError: the bucket overwrites what should only be created.
        """
        if self.folder is not None:
            return
        probe, other = _aside(), _aside()
        try:
            # Neither is created on a condition: one whose answer was lost would seem to have been there.
            self.put(probe, b"1")
            self.put(other, b"2")
            honoured = not self.put_if_absent(probe, b"2") and not self._copy_if_absent(other, probe)
        except StoreError as error:
            if "501" not in str(error):
                raise
            honoured = False
        finally:
            self.delete(probe)
            self.delete(other)
        if not honoured:
            raise StoreError(f"the bucket of store {self.url} {_NO_CONDITIONS}")

    def exists(self, path: str) -> bool:
        """Return whether a file is there.

        Raises:
            StoreError: the store does not answer.
        """
        with self.translating("look at", path):
            try:
                if self.folder is not None:
                    # Not by obstore, whose threads a forked process does not have: it would wait for ever.
                    return stat.S_ISREG((self.folder / path).stat().st_mode)
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
            for chunk in obstore.list(self._store, prefix=prefix, chunk_size=1000):
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
            text = error_text(error) if self.folder is None else _first_line(error)
            raise StoreError(f"cannot {verb} {path!r} in store {self.url}: {text}") from error

    def _range(self, path: str, e_tag: str | None, start: int, end: int) -> bytes:
        """Return the bytes ``[start, end)`` of a file that is still the one that was opened."""
        options: GetOptions = {"range": (start, end)}
        if e_tag is not None:
            options["if_match"] = e_tag
        with self.translating("read", path):
            return obstore.get(self._store, path, options=options).bytes().to_bytes()

    def _upload(self, path: str, data: bytes | Path) -> None:
        """Write an object over one that is there; it appears whole also when it went in parts."""
        if not _is_large(data):
            obstore.put(self._store, path, data, use_multipart=False)
            return
        try:
            self._upload_parts(path, data)
        except (BaseError, OSError) as error:
            # The answer to its end was lost, and asked again the store knows it no more.
            if not error_text(error).endswith(_NO_SUCH_UPLOAD):
                raise
            self._upload_parts(path, data)

    def _upload_parts(self, path: str, data: bytes | Path) -> None:
        many = _PARTS_AT_ONCE
        obstore.put(self._store, path, data, use_multipart=True, chunk_size=_PART_BYTES, max_concurrency=many)

    def _upload_if_absent(self, path: str, data: bytes | Path) -> bool:
        """Write a large file aside, and let the store itself copy it to its name if that is free.

        An upload in parts has no condition of its own, and a conditional one would be in memory as a whole.
        """
        aside = _aside()
        try:
            self._upload(aside, data)
            return self._copy_if_absent(aside, path)
        finally:
            self.delete(aside)

    def _copy_if_absent(self, source: str, path: str) -> bool:
        with self.translating("copy", path):
            try:
                obstore.copy(self._store, source, path, overwrite=False)
            except AlreadyExistsError:
                return False
        return True


def _is_large(data: bytes | Path) -> bool:
    return isinstance(data, Path) and data.stat().st_size > _PART_BYTES


def _aside() -> str:
    return f"{layout.STAGING}{secrets.token_hex(8)}.part"


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
