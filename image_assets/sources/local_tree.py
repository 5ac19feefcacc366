"""A local folder as a tree of files that are read in ranges."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from image_assets.core.errors import SourceFileError, VanishedError
from image_assets.settings.sources import SourceSettings
from image_assets.sources.local_files import LocalFiles, settled_status, version_of
from image_assets.sources.trees import TreeFile, TreeReader


class LocalTree:
    """The files below a folder; a version is size, mtime, ctime and inode."""

    def __init__(self, settings: SourceSettings) -> None:
        self._files = LocalFiles(Path(settings.path), follow=settings.follow_symlinks)

    def files(self) -> Iterator[TreeFile]:
        """Yield every regular file below the folder that is not hidden.

        Raises:
            SourceError: the folder is missing, no folder, or cannot be listed.
        """
        for entry, path, locator in self._files.walk():
            status = self._files.status(entry)
            if status is not None and stat.S_ISREG(status.st_mode):
                yield TreeFile(path, self._files.version(entry, status), status.st_size, locator)

    def open(self, path: str, locator: bytes | None) -> TreeReader:
        """Open one file for reads of ranges.

        Raises:
            SourceFileError: it cannot be opened (reason unreadable or outside_root).
            VanishedError: it is gone.
        """
        handle, linked = self._files.open(path, locator)
        return LocalReader(handle, path, linked=linked)


class LocalReader:
    """One open local file. A file that another one replaced is read to its end; one that is written to is refused."""

    def __init__(self, handle: int, path: str, *, linked: bool) -> None:
        self._handle = handle
        self._path = path
        status = settled_status(handle)
        self.size_bytes = status.st_size
        self.version = version_of(status, linked=linked)
        self._stamp = (status.st_size, status.st_mtime_ns)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes of a range; fewer at the end of the file.

        Raises:
            SourceFileError: it cannot be read (reason unreadable).
            VanishedError: other bytes have come in their place.
        """
        try:
            data = self._read(offset, length)
            status = os.fstat(self._handle)
        except OSError as error:
            raise SourceFileError("unreadable", f"{error.strerror}") from error
        # A link more or less, or another name (it was replaced), changes the ctime and not the bytes.
        if (status.st_size, status.st_mtime_ns) != self._stamp:
            raise VanishedError(f"{self._path} was changed while it was read")
        return data

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _read(self, offset: int, length: int) -> bytes:
        """Return a range; one call of the system returns 2 GiB at most."""
        parts = [os.pread(self._handle, length, offset)]
        while parts[-1] and (done := sum(map(len, parts))) < length:
            parts.append(os.pread(self._handle, length - done, offset + done))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __del__(self) -> None:
        self.close()
