"""Raw images in a folder or in a bucket, changed by the same verbs."""

import os
import shutil
from pathlib import Path
from typing import Protocol

import obstore

from image_assets.sources.object_stores import open_object_store


class RawPlace(Protocol):
    """Files by names like ``a/1.jpg``; of two names of a verb the first one is there."""

    def names(self) -> list[str]:
        """Return all names, sorted."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, over one that is there."""

    def delete(self, name: str) -> None:
        """Remove a file."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, whatever had that."""

    def copy(self, old: str, new: str) -> None:
        """Give a file's bytes to another name, too."""

    def swap(self, one: str, other: str) -> None:
        """Let two files change names."""

    def touch(self, name: str) -> None:
        """Make a file newer without changing its bytes."""


class RawFolder:
    """A folder: a file that is renamed stays the same to the system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def names(self) -> list[str]:
        return sorted(path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*.*"))

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        self._path(name).write_bytes(data)

    def delete(self, name: str) -> None:
        (self._folder / name).unlink()

    def rename(self, old: str, new: str) -> None:
        (self._folder / old).rename(self._path(new))

    def copy(self, old: str, new: str) -> None:
        if old != new:
            shutil.copyfile(self._folder / old, self._path(new))

    def swap(self, one: str, other: str) -> None:
        aside = self._folder / "aside"
        (self._folder / one).rename(aside)
        (self._folder / other).rename(self._folder / one)
        aside.rename(self._folder / other)

    def touch(self, name: str) -> None:
        os.utime(self._folder / name)

    def _path(self, name: str) -> Path:
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        return path


class RawBucket:
    """A place in a bucket: nothing is renamed there, and a file that is written again is a new one."""

    def __init__(self, url: str) -> None:
        self._store = open_object_store(url)

    def names(self) -> list[str]:
        return sorted(entry["path"] for chunk in obstore.list(self._store) for entry in chunk)

    def read(self, name: str) -> bytes:
        return obstore.get(self._store, name).bytes().to_bytes()

    def write(self, name: str, data: bytes) -> None:
        obstore.put(self._store, name, data)

    def delete(self, name: str) -> None:
        obstore.delete(self._store, name)

    def rename(self, old: str, new: str) -> None:
        if old != new:
            self.copy(old, new)
            self.delete(old)

    def copy(self, old: str, new: str) -> None:
        self.write(new, self.read(old))

    def swap(self, one: str, other: str) -> None:
        first, second = self.read(one), self.read(other)
        self.write(one, second)
        self.write(other, first)

    def touch(self, name: str) -> None:
        self.copy(name, name)
