"""Files below a local folder: what the walk finds, their versions, and the open that never leaves the folder."""

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.sources.local_walk import LEADS_NOWHERE, Found, Walk

# A file system stamps changes with a clock that ticks every few milliseconds. Bytes read this long after the last
# change cannot be changed again under the same stamp.
_STAMP_SETTLES_S = 0.02
_REMEMBERED_FOLDERS = 1000


class LocalFiles:
    """What lies below a folder. ``notes`` names in words what the last walk did not follow."""

    def __init__(self, root: Path, *, follow: bool) -> None:
        self.notes: list[str] = []
        self._root = root
        self._follow = follow
        self._real_folders: dict[str, str] = {}

    def walk(self) -> Iterator[tuple[os.DirEntry[str], str, bytes | None]]:
        """Yield every entry that is no folder and not hidden: (entry, key, locator when the key is not its name).

        Raises:
            SourceError: the folder is missing, no folder, or cannot be listed.
        """
        for entry, key, place, exact in self._new_walk().in_any_order():
            yield entry, key, None if exact else place

    def walk_after(self, after: bytes | None) -> Iterator[Found]:
        """Yield the same in a fixed order, from what follows a place on.

        Raises:
            SourceError: the folder is missing, no folder, or cannot be listed.
        """
        yield from self._new_walk().in_order(after)

    def status(self, entry: os.DirEntry[str]) -> os.stat_result | None:
        """Return the status of what an entry leads to: of the link itself when to nothing, None when it is gone.

        Raises:
            SourceError: it is there and cannot be looked at.
        """
        try:
            return entry.stat()
        except OSError as error:
            # A dangling link is in the folder, so it is reported; a file deleted a moment ago is not.
            if entry.is_symlink() and error.errno in LEADS_NOWHERE:
                return entry.stat(follow_symlinks=False)
            if isinstance(error, FileNotFoundError):
                return None
            raise SourceError(
                f"{entry.path!r} cannot be looked at: {error.strerror}; make its folder readable (chmod u+rx)"
            ) from error

    def version(self, entry: os.DirEntry[str], status: os.stat_result) -> str:
        """Return the version of a listed file."""
        return version_of(status, linked=self._follow and entry.is_symlink())

    def open(self, key: str, locator: bytes | None) -> tuple[int, bool]:
        """Return a descriptor of one regular file, and whether a followed link led to it.

        Raises:
            SourceFileError: it cannot be opened (reason unreadable or outside_root).
            VanishedError: it is gone.
        """
        path = os.fsdecode(os.path.join(os.fsencode(self._root), locator if locator is not None else key.encode()))  # noqa: PTH118
        self._refuse_outside(path)
        try:
            # O_NONBLOCK: a named pipe called .jpg must not hang the run.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            if os.path.islink(path):  # noqa: PTH114
                raise SourceFileError("unreadable", "a link to nothing") from error
            raise VanishedError(f"{key} was listed and is gone") from error
        except OSError as error:
            raise SourceFileError("unreadable", f"{error.strerror}") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise SourceFileError("unreadable", "no regular file")
        return handle, self._follow and os.path.islink(path)  # noqa: PTH114

    def _new_walk(self) -> Walk:
        self.notes.clear()
        return Walk(self._checked_root(), self.notes, follow=self._follow)

    def _checked_root(self) -> str:
        try:
            if not stat.S_ISDIR(self._root.stat().st_mode):
                raise SourceError(f"source {self._root} is a file; name the folder that holds the images")
        except FileNotFoundError as error:
            raise SourceError(f"source folder {self._root} does not exist; create it or correct the path") from error
        except OSError as error:
            raise SourceError(f"source folder {self._root} cannot be read: {error.strerror}") from error
        return os.fspath(self._root)

    def _refuse_outside(self, path: str) -> None:
        if self._follow:
            return
        folder, name = os.path.split(path)
        real = self._real_folder(folder)
        if os.path.islink(path):  # noqa: PTH114
            real = os.path.dirname(os.path.realpath(os.path.join(real, name)))  # noqa: PTH118, PTH120
        root = self._real_folder(os.fspath(self._root))
        if os.path.commonpath([root, real]) != root:
            raise SourceFileError("outside_root", "a link leads out of the source folder; set source.follow_symlinks")

    def _real_folder(self, folder: str) -> str:
        """Return a folder's real path, remembered for a moment: the images of a folder come one after the other."""
        if folder not in self._real_folders:
            if len(self._real_folders) >= _REMEMBERED_FOLDERS:
                self._real_folders.clear()
            self._real_folders[folder] = os.path.realpath(folder)
        return self._real_folders[folder]


def version_of(status: os.stat_result, *, linked: bool) -> str:
    """Return the version of a file: size, mtime, ctime and inode."""
    # A link that was refused is looked into again when links are followed.
    return f"{'+' if linked else ''}{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_ino:x}"


def settled_status(handle: int) -> os.stat_result:
    """Return the status of an open file once no later change can have the same stamp."""
    status = os.fstat(handle)
    age_s = time.time() - status.st_ctime
    if 0 <= age_s < _STAMP_SETTLES_S:
        time.sleep(_STAMP_SETTLES_S - age_s)
        return os.fstat(handle)
    return status
