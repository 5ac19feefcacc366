"""Faults in the calls that change files: the n-th one kills its own process, or fails as the system lets it fail."""

import builtins
import errno
import io
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_assets.storage.store import Store

# Wrapped by name: which of its arguments is the path, or the file descriptor, of what it changes.
_CALLS = {
    "mkdir": 0,
    "rmdir": 0,
    "unlink": 0,
    "link": 1,
    "rename": 1,
    "replace": 1,
    "truncate": 0,
    "ftruncate": 0,
    "fsync": 0,
}
# After any other call nothing has happened yet that was not there before the next one.
_SEEN_AFTERWARDS = {"link", "rename", "replace", "unlink"}
_KINDS_THAT_WRITE = frozenset({"open", "write", "copy", "mkdir", "link", "rename", "replace", "fsync"})
_NEW_FILE_MODES = frozenset("wxa+")


@dataclass(frozen=True, slots=True)
class Point:
    """One moment of a run: ``when`` (before, halfway, after) a call (``kind``) that changes ``path``."""

    when: str
    kind: str
    path: str

    @property
    def can_fail(self) -> bool:
        """Whether a full or read-only disk shows here."""
        return self.when != "after" and self.kind in _KINDS_THAT_WRITE

    def __str__(self) -> str:
        return f"{self.when} {self.kind} {self.path}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the point with a number, counted from 0; with an ``error`` ("ENOSPC") that, else SIGKILL."""

    at: int
    error: str | None = None


class Shim:
    """Watches every call that changes something below some folders, in this process, for ever."""

    def __init__(self, roots: Sequence[Path], fault: Fault | None = None) -> None:
        self.points: list[Point] = []
        self._roots = tuple(f"{root}/" for root in roots)
        self._fault = fault
        self._write = os.write

    def install(self) -> None:
        """Put the wrappers in place. There is no way back: meant for a process that ends soon."""
        for name, position in _CALLS.items():
            setattr(os, name, self._call(name, position))
        os.open = self._os_open()
        os.write = self._os_write()
        shutil.copyfileobj = self._copyfileobj()
        # pathlib looks it up in io, the logging module and numpy among the builtins.
        io.open = builtins.open = self._open()
        Store.put = self._verb(Store.put, "put")
        Store.put_if_absent = self._verb(Store.put_if_absent, "commit")

    def strike(self, when: str, kind: str, path: str, half: Callable[[], object] | None = None) -> None:
        """Count a point; when the fault is for it, do ``half`` of the work and die, or fail.

        Raises:
            OSError: the fault is one that fails.
        """
        self.points.append(Point(when, kind, self._short(path)))
        if self._fault is None or len(self.points) - 1 != self._fault.at:
            return
        if half is not None:
            half()
        if self._fault.error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self._fault.error or "")
        raise OSError(number, os.strerror(number), path)

    def _call(self, name: str, position: int) -> Callable[..., Any]:
        real = getattr(os, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            path = self._watched(arguments[position], options.get("dir_fd"))
            if path is None:
                return real(*arguments, **options)
            self.strike("before", name, path)
            result = real(*arguments, **options)
            if name in _SEEN_AFTERWARDS:
                self.strike("after", name, path)
            return result

        return watched

    def _os_open(self) -> Callable[..., int]:
        real = os.open

        def watched(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            if flags & os.O_CREAT and (found := self._watched(path, options.get("dir_fd"))) is not None:
                self.strike("before", "open", found)
            return real(path, flags, *arguments, **options)

        return watched

    def _open(self) -> Callable[..., Any]:
        real = io.open

        def watched(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if _NEW_FILE_MODES & set(mode) and (found := self._watched(file)) is not None:
                self.strike("before", "open", found)
            return real(file, mode, *arguments, **options)

        return watched

    def _os_write(self) -> Callable[..., int]:
        real = os.write

        def watched(handle: int, data: Any) -> int:
            if (path := self._watched(handle)) is not None:
                self.strike("before", "write", path)
                self.strike("halfway", "write", path, lambda: real(handle, data[: len(data) // 2]))
            return real(handle, data)

        return watched

    def _copyfileobj(self) -> Callable[..., None]:
        real = shutil.copyfileobj

        def watched(source: Any, target: Any, length: int = 0) -> None:
            if (path := self._watched(target.fileno())) is not None:
                self.strike("before", "copy", path)
                size_bytes = os.fstat(source.fileno()).st_size
                self.strike("halfway", "copy", path, lambda: target.write(source.read(size_bytes // 2)))
            real(source, target, length)

        return watched

    def _verb(self, real: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def watched(store: Store, path: str, data: bytes | Path) -> Any:
            self.strike("before", kind, path)
            result = real(store, path, data)
            self.strike("after", kind, path)
            return result

        return watched

    def _watched(self, place: Any, folder: int | None = None) -> str | None:
        """Return the absolute path of a path or file descriptor that lies below one of the roots, else None."""
        path = _opened(place) if isinstance(place, int) else os.fsdecode(place)
        if folder is not None:
            path = f"{_opened(folder)}/{path}"
        path = os.path.abspath(path)  # noqa: PTH100
        return path if f"{path}/".startswith(self._roots) else None

    def _short(self, path: str) -> str:
        for root in self._roots:
            if f"{path}/".startswith(root):
                return f"{path}/"[len(root) : -1] or "."
        return path


def _opened(handle: int) -> str:
    return str(Path(f"/proc/self/fd/{handle}").readlink())
