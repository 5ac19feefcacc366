"""A bucket as a tree of files that are read in ranges."""

from collections.abc import Iterator
from dataclasses import replace

from image_assets.settings.sources import SourceSettings
from image_assets.sources.object_names import key_of, keys_of
from image_assets.sources.objects import ObjectMeta, Objects
from image_assets.sources.trees import TreeFile, TreeReader


class ObjectTree:
    """The objects below a prefix; a version is ETag and size."""

    def __init__(self, settings: SourceSettings) -> None:
        self._objects = Objects(settings.path)

    def files(self) -> Iterator[TreeFile]:
        """Yield every object below the prefix that is not hidden.

        Raises:
            SourceError: the bucket is missing or cannot be listed.
        """
        odd: dict[str, TreeFile] = {}
        exact: set[str] = set()
        for table in self._objects.tables():
            for row in table.to_pylist():
                name = row["path"]
                file = TreeFile(name, row["version"], row["size_bytes"])
                if key_of(name) != name:
                    odd[name] = replace(file, locator=name.encode())
                    continue
                exact.add(name)
                yield file
        for path, file in zip(keys_of(list(odd), exact.intersection), odd.values(), strict=True):
            yield replace(file, path=path)

    def open(self, path: str, locator: bytes | None) -> TreeReader:
        """Open one object for reads of ranges.

        Raises:
            SourceFileError: it cannot be opened (reason unreadable).
            VanishedError: it is gone.
        """
        place = locator.decode() if locator is not None else path
        return ObjectReader(self._objects, place, self._objects.head(place))


class ObjectReader:
    """One object, of the version that it had when it was opened: each range is asked for on that condition."""

    def __init__(self, objects: Objects, path: str, meta: ObjectMeta) -> None:
        self.size_bytes = meta.size_bytes
        self.version = meta.version
        self._objects = objects
        self._path = path
        self._meta = meta

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes of a range; fewer at the end of the object.

        Raises:
            SourceFileError: it cannot be read (reason unreadable).
            VanishedError: it is gone, or other bytes have come in its place.
        """
        end = min(offset + length, self.size_bytes)
        return self._objects.range(self._path, self._meta, offset, end) if end > offset else b""

    def close(self) -> None:
        """Do nothing: an object is not held open."""
