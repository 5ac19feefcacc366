"""The walk over a local folder: every file below it with its key, in whatever order or in a fixed one."""

import errno
import heapq
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from image_assets.core.errors import SourceError
from image_assets.sources.names import escaped

# As many entries of one folder are put in order at a time; each takes half a kilobyte.
_ORDERED_AT_ONCE = 50_000


# What a link that leads to nothing, in a circle, through a file, or to where nobody may look says when it is followed.
LEADS_NOWHERE = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG})


class Found(NamedTuple):
    """An entry that is no folder; ``place`` is its path below the root in bytes, ``exact`` whether the key is that."""

    entry: os.DirEntry[str]
    key: str
    place: bytes
    exact: bool


class Walk:
    """One walk over what is not hidden below a folder. ``notes`` gets in words what it did not follow.

    A folder that several followed links lead to is walked under the first of them, so that loops end.
    """

    def __init__(self, root: str, notes: list[str], *, follow: bool) -> None:
        self._root = root
        self._notes = notes
        self._follow = follow
        self._seen: set[tuple[int, int]] = set()

    def in_any_order(self) -> Iterator[Found]:
        """Yield every file, holding few entries at a time.

        Raises:
            SourceError: a folder cannot be listed.
        """
        if self._follow:
            # Which link is the first must not depend on the file system.
            yield from self.in_order(None)
            return
        # Iteratively, so that depth costs no stack.
        pending = [_Folder(self._root)]
        while pending:
            folder = pending.pop()
            for entry, name in _named(folder.path):
                found = folder.child(entry, name)
                if self._is_folder(entry):
                    pending.append(_Folder.of(found))
                elif not _leads_to_folder(entry):
                    yield found

    def in_order(self, after: bytes | None) -> Iterator[Found]:
        """Yield every file that follows a place, by the bytes of the names, folder by folder.

        Raises:
            SourceError: a folder cannot be listed.
        """
        levels = [self._level(_Folder(self._root, after=tuple(after.split(b"/")) if after else ()))]
        while levels:
            step = next(levels[-1], None)
            if step is None:
                levels.pop()
            elif isinstance(step, Found):
                yield step
            else:
                levels.append(self._level(step))

    def _level(self, folder: "_Folder") -> "Iterator[Found | _Folder]":
        """Yield what one folder holds from where it goes on."""
        first = folder.after[0] if folder.after else b""
        # A followed folder is walked under its first link, which may lie before the place: all of them are looked at.
        for entry, name in _named_in_order(folder.path, b"" if self._follow else first):
            found = folder.child(entry, name)
            here = os.fsencode(entry.name)
            if self._is_folder(entry):
                inside = folder.after[1:] if here == first else ()
                yield replace(_Folder.of(found), after=inside, passed=folder.passed or here < first)
            elif not _leads_to_folder(entry) and folder.comes_after(here):
                yield found

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return entry.is_dir(follow_symlinks=False)
        if not _leads_to_folder(entry):
            return False
        if not self._follow:
            self._notes.append(f"linked folder {entry.path!r} not followed; set source.follow_symlinks to follow it")
            return False
        status = entry.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen or _contains_itself(entry.path):
            return False
        self._seen.add(identity)
        return True


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to walk; ``after`` are the parts of a place below it to go on after; ``passed``: it lies before it."""

    path: str
    prefix: str = ""
    place: bytes = b""
    exact: bool = True
    after: tuple[bytes, ...] = ()
    passed: bool = False

    @staticmethod
    def of(found: Found) -> "_Folder":
        return _Folder(found.entry.path, f"{found.key}/", found.place + b"/", found.exact)

    def comes_after(self, name: bytes) -> bool:
        """Return whether a file of the folder is not listed yet; one may have taken the name of a folder meanwhile."""
        first = self.after[0] if self.after else b""
        return not self.passed and (name > first or (name == first and len(self.after) > 1))

    def child(self, entry: os.DirEntry[str], name: str) -> Found:
        place = self.place + os.fsencode(entry.name)
        return Found(entry, f"{self.prefix}{name}", place, self.exact and name == entry.name)


def _named(folder: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield each entry of one folder with its part of the key; only those of another spelling are held."""
    odd: dict[str, os.DirEntry[str]] = {}
    for entry in _entries(folder):
        if _is_plain(entry.name):
            yield entry, entry.name
        else:
            odd[entry.name] = entry
    for name, spelling in _spellings(odd, folder).items():
        yield odd[name], spelling


def _named_in_order(folder: str, first: bytes) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield the same from the name ``first`` on, by the bytes of the names; a large folder is gone through again."""
    spellings = _spellings([entry.name for entry in _entries(folder) if not _is_plain(entry.name)], folder)
    start, inclusive = first, True
    while True:
        left = (entry for entry in _entries(folder) if _follows(os.fsencode(entry.name), start, inclusive=inclusive))
        entries = heapq.nsmallest(_ORDERED_AT_ONCE, left, key=lambda entry: os.fsencode(entry.name))
        for entry in entries:
            # One that came a moment ago: what is odd about its spelling shows next time.
            if entry.name in spellings or _is_plain(entry.name):
                yield entry, spellings.get(entry.name, entry.name)
        if len(entries) < _ORDERED_AT_ONCE:
            return
        start, inclusive = os.fsencode(entries[-1].name), False


def _follows(name: bytes, start: bytes, *, inclusive: bool) -> bool:
    return name >= start if inclusive else name > start


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield what is not hidden in a folder, nothing when it is gone.

    Raises:
        SourceError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                if not entry.name.startswith("."):
                    yield entry
    except FileNotFoundError:
        return
    except OSError as error:
        # Part of the source cannot be seen: going on would delete what lies there.
        raise SourceError(f"folder {folder!r} cannot be listed: {error.strerror}; make it readable") from error


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError as error:
        if entry.is_symlink() and error.errno in LEADS_NOWHERE:
            return False
        raise


def _spellings(names: Iterable[str], folder: str) -> dict[str, str]:
    """Return how the names that are not NFC, or not UTF-8, are spelled in a key.

    When the NFC spelling is taken by a neighbour, or there is none, every byte outside ASCII is written ``%XX``; when
    that is a neighbour's name too, every byte is.
    """
    choices = {name: _choices(name) for name in names}
    if not choices:
        return {}
    every = {spelling for spellings in choices.values() for spelling in spellings}
    # Names of the file system itself: asking it whether one exists finds other spellings too on some.
    taken = {entry.name for entry in _entries(folder) if entry.name in every and _is_plain(entry.name)}
    chosen: dict[str, str] = {}
    for name in sorted(choices, key=os.fsencode):
        free = [spelling for spelling in choices[name] if spelling not in taken]
        chosen[name] = free[0] if free else _beyond(choices[name][-1], taken, folder)
        taken.add(chosen[name])
    return chosen


def _choices(name: str) -> list[str]:
    data = os.fsencode(name)
    normal = [unicodedata.normalize("NFC", name)] if _is_utf8(name) else []
    return [*normal, escaped(data), "".join(f"%{byte:02X}" for byte in data)]


def _beyond(spelling: str, taken: set[str], folder: str) -> str:
    """Return a spelling that nothing in a folder has, where somebody gave others all that there are."""
    names = taken | {entry.name for entry in _entries(folder)}
    while spelling in names:
        spelling += "%"
    return spelling


def _is_plain(name: str) -> bool:
    """Return whether a name is its own spelling in a key."""
    return name.isascii() or (_is_utf8(name) and unicodedata.is_normalized("NFC", name))


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _contains_itself(path: str) -> bool:
    target = os.path.realpath(path)
    parent = os.path.realpath(os.path.dirname(path))  # noqa: PTH120
    return os.path.commonpath([target, parent]) == target
