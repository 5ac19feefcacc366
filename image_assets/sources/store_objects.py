"""Listings of Google's and Azure's stores, by the client of all clouds: compact tables, and folders it cannot list."""

from collections.abc import Iterator, MutableMapping

import obstore
import pyarrow as pa
import pyarrow.compute as pc
from obstore.exceptions import InvalidPathError
from obstore.store import ObjectStore

from image_assets.sources.object_stores import error_text
from image_assets.sources.s3_objects import OBJECT_SCHEMA

_AROUND_TAG = r'^(?:W/)?"|"$'


class StoreObjects:
    """The objects of a store. A page that holds a name which is no path is refused by the client as a whole.

    Methods raise what the client raises (BaseError, OSError).
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def level(self, folder: str) -> tuple[pa.Table, list[str]]:
        """Return the objects that lie in a folder (``""`` or ending with a slash), and the folders that do."""
        found = obstore.list_with_delimiter(self._store, _prefix(folder), return_arrow=True)
        return _compact(pa.table(found["objects"])), [f"{name}/" for name in found["common_prefixes"]]

    def below(self, folder: str, after: str | None, at_once: int) -> Iterator[pa.Table]:
        """Yield the objects of a folder and of all below it in the order of their names, ``at_once`` at a time.

        Args:
            after: a path to begin after.
        """
        for chunk in obstore.list(self._store, _prefix(folder), offset=after, chunk_size=at_once, return_arrow=True):
            yield _after(_compact(pa.table(chunk)), after)

    def listable(self, folder: str, unseen: MutableMapping[str, str], at_once: int) -> Iterator[pa.Table]:
        """Yield what can be listed of a folder; ``unseen`` gets folders in it that hold a name that is no path."""
        last = None
        try:
            for table in self.below(folder, None, at_once):
                last = table["path"][-1].as_py() if table.num_rows else last
                yield table
            return
        except InvalidPathError as error:
            reason = error_text(error)
        try:
            objects, folders = self.level(folder)
        except InvalidPathError:
            unseen[folder] = reason
            return
        yield _after(objects, last)
        for inner in folders:
            for table in self.listable(inner, unseen, at_once):
                yield _after(table, last)


def _prefix(folder: str) -> str | None:
    if folder == "/":
        # The client takes it for no prefix at all, and lists everything.
        raise InvalidPathError("a name begins with a slash")
    return folder or None


def _after(table: pa.Table, path: str | None) -> pa.Table:
    # Not every store begins where it is told to: some begin at the beginning.
    return table.filter(pc.greater(table["path"], path)) if path is not None else table


def _compact(found: pa.Table) -> pa.Table:
    """Return path, version and size; a fifth of what the store's answer takes."""
    sizes = found["size"].cast(pa.int64())
    tags = pc.replace_substring_regex(pc.fill_null(found["e_tag"].cast(pa.string()), ""), _AROUND_TAG, "")
    seconds = found["last_modified"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    stamps = pc.binary_join_element_wise("at", pc.divide(seconds, 1_000_000).cast(pa.string()), "")
    names = pc.if_else(pc.equal(tags, ""), stamps, tags)
    version = pc.binary_join_element_wise(names, sizes.cast(pa.string()), "-")
    return pa.table([found["path"].cast(pa.string()), version, sizes], schema=OBJECT_SCHEMA)
