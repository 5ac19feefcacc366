"""A local folder and everything below it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from image_assets.core.errors import SourceFileError
from image_assets.core.listing import Listing
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.local_files import LocalFiles, settled_status, version_of
from image_assets.sources.names import image_extensions, may_be_image
from image_assets.sources.spool import ListingBuilder

_FILES_A_SLICE = 4096


class FolderSource:
    """The images of a folder. A key is the path below it, NFC; a version is size, mtime, ctime and inode."""

    def __init__(self, settings: SourceSettings) -> None:
        self._files = LocalFiles(Path(settings.path), follow=settings.follow_symlinks)
        self._extensions = image_extensions(settings)

    def list(self) -> Listing:
        """Return a snapshot of the folder's image files.

        Raises:
            SourceError: the folder is missing, no folder, or cannot be listed.
        """
        builder = ListingBuilder()
        for entry, key, locator in self._files.walk():
            self._take(entry, key, locator, builder)
        builder.notes += self._files.notes
        return builder.finish()

    def list_slices(self, after: bytes | None) -> Iterator[tuple[pa.Table, bytes]]:
        """Yield the image files in the order of their paths; a token is the path of the last one that was looked at.

        Raises:
            SourceError: the folder is missing, no folder, or cannot be listed.
        """
        builder, looked_at = ListingBuilder(), 0
        last = after
        for entry, key, place, exact in self._files.walk_after(after):
            self._take(entry, key, None if exact else place, builder)
            last, looked_at = place, looked_at + 1
            if looked_at >= _FILES_A_SLICE:
                yield builder.finish().table, last
                builder, looked_at = ListingBuilder(), 0
        if looked_at and last is not None:
            yield builder.finish().table, last

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return one file's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: it is gone.
        """
        handle, linked = self._files.open(key, locator)
        with os.fdopen(handle, "rb") as file:
            return _read_settled(file, max_bytes, linked=linked)

    def _take(self, entry: os.DirEntry[str], key: str, locator: bytes | None, builder: ListingBuilder) -> None:
        if not may_be_image(entry.name, self._extensions):
            builder.ignored += 1
            return
        status = self._files.status(entry)
        if status is None:
            return
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
            builder.ignored += 1
            return
        builder.add_image(key, self._files.version(entry, status), status.st_size, locator)


def _read_settled(file: BinaryIO, max_bytes: int, *, linked: bool) -> RawImage:
    handle = file.fileno()
    size_bytes = os.fstat(handle).st_size
    if size_bytes > max_bytes:
        raise SourceFileError("too_large", f"{size_bytes} bytes, the limit is {max_bytes}")
    before = settled_status(handle)
    try:
        data = file.read(before.st_size + 1)
    except OSError as error:
        raise SourceFileError("unreadable", f"{error.strerror}") from error
    after = os.fstat(handle)
    # Changed while it was read: an impossible version makes the next look at the source read it again.
    version = version_of(after, linked=linked)
    changed = version_of(before, linked=linked) != version or len(data) != after.st_size
    return RawImage(data, "changed-while-read" if changed else version)
