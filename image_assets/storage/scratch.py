"""Folders for a moment, in the system's temporary folder; those of killed processes can be told and removed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "image-assets-scratch-"
_IN_USE = ".in-use"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder that is removed when the block ends.

    Raises:
        OSError: there is no room.
    """
    with _birth(fcntl.LOCK_SH):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            handle = os.open(folder / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def dead_scratch_folders() -> list[Path]:
    """Return the scratch folders that no living process holds."""
    with _birth(fcntl.LOCK_EX):
        return [folder for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/")) if _is_dead(folder)]


@contextmanager
def _birth(operation: int) -> Iterator[None]:
    """Hold the lock under which folders are born: one that is not locked yet must not be taken for dead."""
    # On the temporary folder itself, which every process can open and no file is left behind for.
    handle = os.open(tempfile.gettempdir(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, operation)
        yield
    finally:
        os.close(handle)


def _is_dead(folder: Path) -> bool:
    try:
        handle = os.open(folder / _IN_USE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        # Its process died before it could lock it, unless it is just being removed.
        return folder.exists()
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
