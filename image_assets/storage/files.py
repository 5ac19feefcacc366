"""Writing into a local folder: a file is there whole or not at all, also after the power failed."""

import errno
import os
import secrets
import shutil
from pathlib import Path

from image_assets.core.errors import StoreError
from image_assets.storage import layout

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}


def write_whole(root: Path, path: str, data: bytes | Path, *, replace: bool) -> bool:
    """Write a file below ``root`` and return whether this call did: not over one that is there, unless ``replace``.

    The bytes reach the disk before the name does, and the name before this returns.

    Raises:
        StoreError: the file system has no hard links, which creating a file only if it is absent needs.
        OSError: it cannot be written.
    """
    target = root / path
    if not replace and target.exists():
        return False
    staged = root / layout.STAGING / f"{secrets.token_hex(8)}.part"
    _make_folder(staged.parent, root)
    _make_folder(target.parent, root)
    try:
        _write_synced(staged, data)
        if replace:
            os.replace(staged, target)  # noqa: PTH105  one spelling for all calls that a power failure may cut
        elif not _linked(staged, target):
            return False
        sync_folder(target.parent)
    finally:
        staged.unlink(missing_ok=True)
    return True


def _linked(staged: Path, target: Path) -> bool:
    try:
        os.link(staged, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise StoreError(
                f"{target.parent} lies on a file system without hard links, which a store needs; "
                "use another disk or an object store"
            ) from error
        raise
    return True


def _write_synced(staged: Path, data: bytes | Path) -> None:
    with staged.open("xb", buffering=0) as file:
        if isinstance(data, Path):
            with data.open("rb") as source:
                shutil.copyfileobj(source, file, 2**20)
        else:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file.fileno(), rest) :]
        os.fsync(file.fileno())


def _make_folder(folder: Path, root: Path) -> None:
    """Make a folder and those above it up to the root, and let their names reach the disk."""
    if folder.is_dir():
        return
    if folder != root:
        _make_folder(folder.parent, root)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder, and that some are gone, reach the disk.

    Raises:
        OSError: it cannot be opened.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
