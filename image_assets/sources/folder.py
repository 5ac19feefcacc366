"""A local folder and everything below it."""

import os
import stat
import time
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.listing import Listing, make_listing, sort_listing
from image_assets.settings import SourceSettings
from image_assets.sources.base import RawImage

# Endings of the formats that Pillow identifies; a file of another name is ignored and counted.
IMAGE_EXTENSIONS = frozenset(
    {"apng", "avif", "avifs", "bmp", "bw", "cur", "dcx", "dds", "dib", "dng", "fit", "fits", "flc", "fli", "gif"}
    | {"heic", "heif", "hif", "icb", "icns", "ico", "im", "j2c", "j2k", "jfif", "jp2", "jpc", "jpe", "jpeg", "jpf"}
    | {"jpg", "jpx", "mpo", "msp", "pbm", "pcd", "pcx", "pfm", "pgm", "png", "pnm", "ppm", "psd", "qoi", "ras"}
    | {"rgb", "rgba", "sgi", "tga", "tif", "tiff", "vda", "vst", "webp", "xbm", "xpm"}
)
# A file system stamps changes with a clock that ticks every few milliseconds. Bytes read this long after the last
# change cannot be changed again under the same stamp.
_STAMP_SETTLES_S = 0.02
_REMEMBERED_FOLDERS = 1000
_ROWS_A_TABLE = 16_384


class FolderSource:
    """The images of a folder. A key is the path below it, NFC; a version is size, mtime, ctime and inode."""

    def __init__(self, settings: SourceSettings) -> None:
        self._root = Path(settings.path)
        self._follow = settings.follow_symlinks
        self._real_folders: dict[str, str] = {}
        self._extensions = frozenset(item.lower().lstrip(".") for item in settings.extensions) or IMAGE_EXTENSIONS

    def list(self) -> Listing:
        """Return a snapshot of the folder's image files.

        Raises:
            SourceError: the folder is missing, no folder, or cannot be listed.
        """
        root = self._checked_root()
        found = _Found()
        self._walk(root, "", b"", found)
        return Listing(found.table(), found.ignored, tuple(found.notes))

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return one file's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
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
        # Before it becomes a file object, which a folder cannot.
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise SourceFileError("unreadable", "no regular file")
        with os.fdopen(handle, "rb") as file:
            return _read_settled(file, max_bytes, linked=self._follow and os.path.islink(path))  # noqa: PTH114

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

    def _walk(self, root: str, top_key: str, top_locator: bytes, found: "_Found") -> None:
        """Walk iteratively, so that depth costs no stack; ``seen`` ends loops of followed links."""
        seen: set[tuple[int, int]] = set()
        pending = [(root, top_key, top_locator, False)]
        while pending:
            folder, prefix, locator, odd = pending.pop()
            try:
                with os.scandir(folder) as scan:
                    entries = [entry for entry in scan if not entry.name.startswith(".")]
            except FileNotFoundError:
                continue
            except OSError as error:
                # Part of the source cannot be seen: going on would delete what lies there.
                raise SourceError(f"folder {folder!r} cannot be listed: {error.strerror}") from error
            for entry, name, exact in _named(entries):
                child = (f"{prefix}{name}", locator + os.fsencode(entry.name), odd or not exact)
                if self._is_folder(entry, seen, found):
                    pending.append((entry.path, child[0] + "/", child[1] + b"/", child[2]))
                elif not entry.is_dir():
                    self._take(entry, child, found)

    def _is_folder(self, entry: os.DirEntry[str], seen: set[tuple[int, int]], found: "_Found") -> bool:
        if not entry.is_symlink():
            return entry.is_dir(follow_symlinks=False)
        if not entry.is_dir():
            return False
        if not self._follow:
            found.notes.append(f"linked folder {entry.path!r} not followed; set source.follow_symlinks to follow it")
            return False
        status = entry.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in seen or _contains_itself(entry.path):
            return False
        seen.add(identity)
        return True

    def _take(self, entry: os.DirEntry[str], child: tuple[str, bytes, bool], found: "_Found") -> None:
        dot = entry.name.rfind(".")
        if dot > 0 and entry.name[dot + 1 :].lower() not in self._extensions:
            found.ignored += 1
            return
        status = None
        with suppress(FileNotFoundError):
            status = entry.stat()
        if status is None:
            # A dangling link is in the folder, so it is reported; a file deleted a moment ago is not.
            if not entry.is_symlink():
                return
            status = entry.stat(follow_symlinks=False)
        elif not stat.S_ISREG(status.st_mode):
            found.ignored += 1
            return
        key, locator, odd = child
        linked = self._follow and entry.is_symlink()
        found.add(key, _version(status, linked=linked), status.st_size, locator if odd else None)


class _Found:
    """What a walk has found so far; rows become Arrow tables early, which takes a fifth of the memory of objects."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.ignored = 0
        self._rows: list[tuple[str, str, int, bytes | None]] = []
        self._tables: list[pa.Table] = []

    def add(self, key: str, version: str, size_bytes: int, locator: bytes | None) -> None:
        self._rows.append((key, version, size_bytes, locator))
        if len(self._rows) >= _ROWS_A_TABLE:
            self._flush()

    def table(self) -> pa.Table:
        self._flush()
        return sort_listing(pa.concat_tables(self._tables))

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else ([], [], [], [])
        self._tables.append(make_listing(*columns))
        self._rows = []


def _named(entries: list[os.DirEntry[str]]) -> Iterator[tuple[os.DirEntry[str], str, bool]]:
    """Yield each entry of one folder with its part of the key, and whether that part is the name as it is.

    A name that is not NFC, or not UTF-8, needs another spelling. When the NFC spelling is taken by a neighbour, or
    there is none, every byte outside ASCII is written ``%XX``, so two files never share a key.
    """
    if all(entry.name.isascii() for entry in entries):
        for entry in entries:
            yield entry, entry.name, True
        return
    taken = {entry.name for entry in entries}
    for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
        name = entry.name
        if not _is_utf8(name):
            yield entry, _escaped(name), False
            continue
        normal = unicodedata.normalize("NFC", name)
        if normal != name and normal in taken:
            yield entry, _escaped(name), False
        else:
            taken.add(normal)
            yield entry, normal, normal == name


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: str) -> str:
    return "".join(chr(byte) if byte < 128 else f"%{byte:02X}" for byte in os.fsencode(name))


def _contains_itself(path: str) -> bool:
    target = os.path.realpath(path)
    parent = os.path.realpath(os.path.dirname(path))  # noqa: PTH120
    return os.path.commonpath([target, parent]) == target


def _version(status: os.stat_result, *, linked: bool) -> str:
    # A link that was refused is looked into again when links are followed.
    return f"{'+' if linked else ''}{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_ino:x}"


def _read_settled(file: BinaryIO, max_bytes: int, *, linked: bool) -> RawImage:
    handle = file.fileno()
    before = os.fstat(handle)
    if before.st_size > max_bytes:
        raise SourceFileError("too_large", f"{before.st_size} bytes, the limit is {max_bytes}")
    age_s = time.time() - before.st_ctime
    if 0 <= age_s < _STAMP_SETTLES_S:
        time.sleep(_STAMP_SETTLES_S - age_s)
        before = os.fstat(handle)
    try:
        data = file.read(before.st_size + 1)
    except OSError as error:
        raise SourceFileError("unreadable", f"{error.strerror}") from error
    after = os.fstat(handle)
    # Changed while it was read: an impossible version makes the next look at the source read it again.
    version = _version(after, linked=linked)
    changed = _version(before, linked=linked) != version or len(data) != after.st_size
    return RawImage(data, "changed-while-read" if changed else version)
