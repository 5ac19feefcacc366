"""What lies below a prefix of a bucket: listed in compact tables, several folders at a time, and read by version."""

import queue
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.compute as pc
from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.sources.object_stores import error_text, open_object_store

# A page of the stores' own listings has 1,000 entries.
_CHUNK_OBJECTS = 10_000
_LISTERS = 8
_WAITING_CHUNKS = 8
# A bucket whose photos lie in raw/2026/ has one folder at the top; this deep it is looked for several.
_DEEPEST_SPLIT = 4
_AROUND_TAG = r'^(?:W/)?"|"$'
# Tables of objects, and at the end of each folder its name.
_Chunks = queue.Queue[Any]


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """What a store says of one object as it hands out bytes."""

    version: str
    size_bytes: int
    e_tag: str | None


class Objects:
    """The objects below what a URL names."""

    def __init__(self, url: str) -> None:
        self.url = url.partition("?")[0]
        self._address = url
        self._opened: ObjectStore | None = None

    @property
    def _store(self) -> ObjectStore:
        # Opened when something is asked for: describing a source costs no look for credentials.
        if self._opened is None:
            self._opened = open_object_store(self._address)
        return self._opened

    def tables(self) -> Iterator[pa.Table]:
        """Yield all objects that are not hidden as tables of path, version and size_bytes, in no particular order.

        Hidden is what begins with a dot, or lies in a folder that does. Left out, too, is the empty object without
        an ending that stands for a folder.

        Raises:
            SourceError: the bucket is missing or cannot be listed.
        """
        folders, objects = self._split()
        yield _compact(objects)
        chunks: _Chunks = queue.Queue(_WAITING_CHUNKS)
        stop = threading.Event()
        with ThreadPoolExecutor(_LISTERS) as pool:
            listers = {folder: pool.submit(self._list_folder, folder, chunks, stop) for folder in folders}
            try:
                while listers:
                    chunk = chunks.get()
                    if isinstance(chunk, pa.Table):
                        yield chunk
                    else:
                        listers.pop(chunk).result()
            except (BaseError, OSError) as error:
                raise self._source_error(error) from error
            finally:
                stop.set()

    def tables_after(self, path: str | None) -> Iterator[tuple[pa.Table, str]]:
        """Yield the same in the order of names, from the one after ``path`` on, each table with the last name it is of.

        The stores' own listings are in that order; S3 directory buckets are the exception.

        Raises:
            SourceError: the bucket is missing or cannot be listed.
        """
        try:
            for chunk in obstore.list(self._store, offset=path, chunk_size=_CHUNK_OBJECTS, return_arrow=True):
                found = pa.table(chunk)
                if path is not None:
                    # Not every store begins where it is told to: some begin at the beginning.
                    found = found.filter(pc.greater(found["path"].cast(pa.string()), path))
                if found.num_rows:
                    yield _compact(found), found["path"][-1].as_py()
        except (BaseError, OSError) as error:
            raise self._source_error(error) from error

    def get(self, path: str, *, max_bytes: int) -> tuple[ObjectMeta, bytes]:
        """Return an object's bytes and what the store said of exactly these.

        Raises:
            SourceFileError: it cannot be read (reason unreadable or too_large).
            VanishedError: it is gone.
        """
        try:
            result = obstore.get(self._store, path)
            meta = _meta_of(result.meta)
            if meta.size_bytes > max_bytes:
                raise SourceFileError("too_large", f"{meta.size_bytes} bytes, the limit is {max_bytes}")
            return meta, result.bytes().to_bytes()
        except (BaseError, OSError) as error:
            raise _file_error(path, error) from error

    def head(self, path: str) -> ObjectMeta:
        """Return what the store says of an object.

        Raises:
            SourceFileError: it does not tell (reason unreadable).
            VanishedError: it is gone.
        """
        try:
            return _meta_of(obstore.head(self._store, path))
        except (BaseError, OSError) as error:
            raise _file_error(path, error) from error

    def range(self, path: str, meta: ObjectMeta, start: int, end: int) -> bytes:
        """Return the bytes ``[start, end)`` of one version of an object.

        Raises:
            SourceFileError: it cannot be read (reason unreadable).
            VanishedError: it is gone, or is another version by now.
        """
        options: dict[str, Any] = {"range": (start, end)}
        if meta.e_tag is not None:
            options["if_match"] = meta.e_tag
        try:
            result = obstore.get(self._store, path, options=options)  # type: ignore[arg-type]
            if _meta_of(result.meta).version != meta.version:
                raise VanishedError(f"{path} was changed while it was read")
            return result.bytes().to_bytes()
        except obstore.exceptions.PreconditionError as error:
            raise VanishedError(f"{path} was changed while it was read") from error
        except (BaseError, OSError) as error:
            raise _file_error(path, error) from error

    def _split(self) -> tuple[list[str], pa.Table]:
        """Return folders to list side by side, and the objects that lie above them."""
        folder, above = "", []
        try:
            for _ in range(_DEEPEST_SPLIT):
                found = obstore.list_with_delimiter(self._store, folder or None, return_arrow=True)
                above.append(pa.table(found["objects"]))
                folders = [prefix for prefix in found["common_prefixes"] if not _is_hidden(prefix)]
                if len(folders) != 1:
                    break
                folder = folders[0]
        except (BaseError, OSError) as error:
            raise self._source_error(error) from error
        return folders, pa.concat_tables(above)

    def _list_folder(self, folder: str, chunks: "_Chunks", stop: threading.Event) -> None:
        """Hand over a folder's tables, and its name at the end, whatever that was."""
        try:
            for chunk in obstore.list(self._store, folder, chunk_size=_CHUNK_OBJECTS, return_arrow=True):
                if not _offer(chunks, _compact(pa.table(chunk)), stop):
                    return
        finally:
            _offer(chunks, folder, stop)

    def _source_error(self, error: Exception) -> SourceError:
        if isinstance(error, InvalidPathError):
            return SourceError(
                f"source {self.url} holds an object whose name cannot be a path: {error_text(error)}; rename or delete "
                "it, or name a prefix without it"
            )
        what = f"source {self.url} cannot be listed: {error_text(error)}"
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or "403" in what:
            return SourceError(f"{what}; check the credentials, or add anonymous=true for a public bucket")
        return SourceError(what)


def _compact(found: pa.Table) -> pa.Table:
    """Return path, version and size of the objects that count; a fifth of what the store's answer takes."""
    path = found["path"].cast(pa.string())
    sizes = found["size"].cast(pa.int64())
    marker = pc.and_(pc.equal(sizes, 0), pc.invert(pc.match_substring_regex(path, r"[^/]\.[^/]*$")))
    hidden = pc.match_substring_regex(path, r"(^|/)\.")
    tags = pc.replace_substring_regex(pc.fill_null(found["e_tag"].cast(pa.string()), ""), _AROUND_TAG, "")
    seconds = found["last_modified"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    stamps = pc.binary_join_element_wise("at", pc.divide(seconds, 1_000_000).cast(pa.string()), "")
    names = pc.if_else(pc.equal(tags, ""), stamps, tags)
    version = pc.binary_join_element_wise(names, sizes.cast(pa.string()), "-")
    table = pa.table({"path": path, "version": version, "size_bytes": sizes})
    return table.filter(pc.invert(pc.or_(marker, hidden)))


def _meta_of(meta: Any) -> ObjectMeta:
    """Return the same of one object; an answer has tags in quotes and times in whole seconds, a listing may not."""
    tag = re.sub(_AROUND_TAG, "", meta["e_tag"] or "")
    name = tag or f"at{int(meta['last_modified'].timestamp())}"
    return ObjectMeta(f"{name}-{meta['size']}", meta["size"], meta["e_tag"])


def _file_error(path: str, error: Exception) -> SourceFileError | VanishedError:
    if isinstance(error, FileNotFoundError):
        return VanishedError(f"{path} was listed and is gone")
    return SourceFileError("unreadable", error_text(error))


def _is_hidden(folder: str) -> bool:
    return folder.rstrip("/").rsplit("/", 1)[-1].startswith(".")


def _offer(chunks: "_Chunks", item: "pa.Table | str", stop: threading.Event) -> bool:
    """Wait for room in the queue; return whether anybody still listens."""
    while not stop.is_set():
        try:
            chunks.put(item, timeout=0.2)
        except queue.Full:
            continue
        return True
    return False
