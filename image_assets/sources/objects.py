"""What lies below a prefix of a bucket: listed in compact tables, several folders at a time, and read by version."""

import queue
import re
import threading
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.compute as pc
from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.object_urls import is_object_url, parse_object_url
from image_assets.sources.object_names import HIDDEN, is_hidden, is_path
from image_assets.sources.object_stores import error_text, open_object_store
from image_assets.sources.s3_objects import S3Objects
from image_assets.sources.store_objects import StoreObjects

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
    """The objects below what a URL names. A path is what follows the prefix, also where that is no path."""

    def __init__(self, url: str) -> None:
        self.url = url.partition("?")[0]
        self._address = url
        self._opened: ObjectStore | None = None
        place = parse_object_url(url) if is_object_url(url) else None
        self._s3 = S3Objects(place) if place is not None and place.kind == "s3" else None

    @property
    def _store(self) -> ObjectStore:
        # Opened when something is asked for: describing a source costs no look for credentials.
        if self._opened is None:
            self._opened = open_object_store(self._address)
        return self._opened

    @property
    def _names(self) -> S3Objects | StoreObjects:
        return self._s3 if self._s3 is not None else StoreObjects(self._store)

    def tables(self, unseen: MutableMapping[str, str] | None = None) -> Iterator[pa.Table]:
        """Yield all objects that are not hidden as tables of path, version and size_bytes, in no particular order.

        Hidden is what begins with a dot, or lies in a folder that does. Left out, too, is the empty object that ends
        with a slash, or has no ending, and stands for a folder.

        Args:
            unseen: gets the folders that cannot be listed because of a name in them, and why. Without it such a name
                fails the listing, as it does everywhere when it lies above all folders. Never happens on S3.

        Raises:
            SourceError: the bucket is missing or cannot be listed.
        """
        folders, objects = self._split(unseen)
        yield _counted(objects)
        chunks: _Chunks = queue.Queue(_WAITING_CHUNKS)
        stop = threading.Event()
        with ThreadPoolExecutor(_LISTERS) as pool:
            listers = {folder: pool.submit(self._list_folder, folder, chunks, stop, unseen) for folder in folders}
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
            for found in self._names.below("", path, _CHUNK_OBJECTS):
                if found.num_rows:
                    yield _counted(found), found["path"][-1].as_py()
        except (BaseError, OSError) as error:
            raise self._source_error(error) from error

    def get(self, path: str, *, max_bytes: int) -> tuple[ObjectMeta, bytes]:
        """Return an object's bytes and what the store said of exactly these.

        Raises:
            SourceFileError: it cannot be read (reason unreadable or too_large).
            VanishedError: it is gone.
        """
        try:
            meta, read = self._open(path)
            if meta.size_bytes > max_bytes:
                raise SourceFileError("too_large", f"{meta.size_bytes} bytes, the limit is {max_bytes}")
            return meta, read()
        except (BaseError, OSError) as error:
            raise _file_error(path, error) from error

    def head(self, path: str) -> ObjectMeta:
        """Return what the store says of an object.

        Raises:
            SourceFileError: it does not tell (reason unreadable).
            VanishedError: it is gone.
        """
        try:
            s3 = self._needs_s3(path)
            return _meta_of(s3.head(path) if s3 is not None else obstore.head(self._store, path))
        except (BaseError, OSError) as error:
            raise _file_error(path, error) from error

    def range(self, path: str, meta: ObjectMeta, start: int, end: int) -> bytes:
        """Return the bytes ``[start, end)`` of one version of an object.

        Raises:
            SourceFileError: it cannot be read (reason unreadable).
            VanishedError: it is gone, or is another version by now.
        """
        try:
            now, read = self._open(path, (meta.e_tag, start, end))
            if now.version != meta.version:
                raise VanishedError(f"{_shown(path)} was changed while it was read")
            return read()
        except obstore.exceptions.PreconditionError as error:
            raise VanishedError(f"{_shown(path)} was changed while it was read") from error
        except (BaseError, OSError) as error:
            raise _file_error(path, error) from error

    def _open(
        self, path: str, part: tuple[str | None, int, int] | None = None
    ) -> tuple[ObjectMeta, Callable[[], bytes]]:
        """Return what the store says of an object, and what reads it, or the bytes ``[start, end)`` of one ETag."""
        if (s3 := self._needs_s3(path)) is not None:
            found, read = s3.open(path, part)
            return _meta_of(found), read
        options: dict[str, Any] = {}
        if part is not None:
            options = {"range": part[1:]} | ({"if_match": part[0]} if part[0] is not None else {})
        result = obstore.get(self._store, path, options=options or None)  # type: ignore[arg-type]
        return _meta_of(result.meta), lambda: result.bytes().to_bytes()

    def _needs_s3(self, path: str) -> S3Objects | None:
        """Return what reads an object whose name the client of all clouds would refuse or change, None for others.

        Raises:
            SourceFileError: the store is not S3.
        """
        if self._s3 is not None:
            return None if is_path(self._s3.start + path) else self._s3
        if is_path(path):
            return None
        raise SourceFileError("unreadable", f"{path!r} is, or holds, a name that is no path; rename or delete it")

    def _split(self, unseen: MutableMapping[str, str] | None) -> tuple[list[str], pa.Table]:
        """Return folders to list side by side, and the objects that lie above them."""
        folder, above = "", []
        try:
            for depth in range(_DEEPEST_SPLIT):
                try:
                    objects, found = self._names.level(folder)
                except InvalidPathError:
                    if unseen is None or not depth:
                        raise
                    break
                above.append(objects)
                folders = [inner for inner in found if not _is_hidden(inner)]
                if len(folders) != 1:
                    break
                folder = folders[0]
        except (BaseError, OSError) as error:
            raise self._source_error(error) from error
        return folders, pa.concat_tables(above)

    def _list_folder(
        self, folder: str, chunks: "_Chunks", stop: threading.Event, unseen: MutableMapping[str, str] | None
    ) -> None:
        """Hand over a folder's tables, and its name at the end, whatever that was."""
        try:
            names = self._names
            if unseen is None or isinstance(names, S3Objects):
                tables = names.below(folder, None, _CHUNK_OBJECTS)
            else:
                tables = names.listable(folder, unseen, _CHUNK_OBJECTS)
            for table in tables:
                if not _offer(chunks, _counted(table), stop):
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


def _counted(found: pa.Table) -> pa.Table:
    """Return the objects that count: neither hidden nor standing for folders."""
    path = found["path"]
    marker = pc.and_(pc.equal(found["size_bytes"], 0), pc.invert(pc.match_substring_regex(path, r"[^/]\.[^/]*$")))
    return found.filter(pc.invert(pc.or_(marker, pc.match_substring_regex(path, HIDDEN))))


def _meta_of(meta: Any) -> ObjectMeta:
    """Return the same of one object; an answer has tags in quotes and times in whole seconds, a listing may not."""
    tag = re.sub(_AROUND_TAG, "", meta["e_tag"] or "")
    name = tag or f"at{int(meta['last_modified'].timestamp())}"
    return ObjectMeta(f"{name}-{meta['size']}", meta["size"], meta["e_tag"])


def _file_error(path: str, error: Exception) -> SourceFileError | VanishedError:
    if isinstance(error, FileNotFoundError):
        return VanishedError(f"{_shown(path)} was listed and is gone")
    return SourceFileError("unreadable", error_text(error))


def _shown(path: str) -> str:
    return path if is_path(path) else repr(path)


def _is_hidden(folder: str) -> bool:
    return is_hidden(folder.removesuffix("/").rsplit("/", 1)[-1])


def _offer(chunks: "_Chunks", item: "pa.Table | str", stop: threading.Event) -> bool:
    """Wait for room in the queue; return whether anybody still listens."""
    while not stop.is_set():
        try:
            chunks.put(item, timeout=0.2)
        except queue.Full:
            continue
        return True
    return False
