"""A bounded look at raw images: how many, of which kinds, how large, in which folders; a few of them are opened."""

import filecmp
import os
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from image_assets.core.errors import ConfigError, SourceError
from image_assets.core.object_urls import is_object_url
from image_assets.pipeline.beginning.files import archive_members, rows_of
from image_assets.settings import is_url
from image_assets.settings.sources import SourceSettings
from image_assets.sources import SOURCES, kind_of
from image_assets.sources.kinds import ARCHIVE_SUFFIXES, TABLE_SUFFIXES, is_container
from image_assets.sources.names import IMAGE_EXTENSIONS, may_be_image
from image_assets.storage.layout import SHARDS, STORE

if TYPE_CHECKING:
    from PIL import Image

# What one place can be.
KINDS = ("auto", *sorted(set(SOURCES) - {"several"}))
# A look takes this long at most, and a file more than this makes it "at least so many".
_MAX_S = 5.0
_MAX_FILES = 200_000
# Header and nothing more: a millisecond each.
_OPENED = 48
_COMPARED = 32
_LABEL_FILES = (".csv",)


@dataclass(slots=True)
class Look:
    """What was seen below a place; ``complete`` when that was all of it.

    ``folders`` counts images by the path of their folder, ``endings`` by what their names end in; ``opened`` are the
    few images whose header was read, ``columns`` those of a table or a list. Of ``compared`` pairs of one size,
    ``copies`` are the same to the byte.
    """

    place: str
    kind: str
    complete: bool = True
    images: int = 0
    size_bytes: int = 0
    others: int = 0
    compared: int = 0
    copies: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    other_endings: Counter[str] = field(default_factory=Counter)
    containers: Counter[str] = field(default_factory=Counter)
    label_files: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    opened: list["Header"] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of one image says."""

    path: str
    width_px: int
    height_px: int
    mode: str
    rotated: bool
    moving: bool


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    size_bytes: int


def look_at(place: str, kind: str = "auto") -> Look:
    """Return what is seen at a place: a folder, a bucket, an archive, a table, a list of URLs.

    It takes seconds, whatever there is; of a bucket and of an archive the names alone are looked at, of a table and a
    list how many rows there are, and nothing is fetched.

    Raises:
        ConfigError: the place does not exist, or is of no known kind.
        SourceError: it cannot be listed.
    """
    if not is_url(place) and not Path(place).exists():
        raise ConfigError(f"{place} does not exist; name a folder, a bucket, an archive, a table or a list of URLs")
    if kind not in KINDS:
        raise ConfigError(f"unknown source {kind!r}; known: {', '.join(KINDS)}")
    told = kind_of(SourceSettings(path=place, kind=kind))
    look = Look(place, told)
    if told == "folder" and is_url(place):
        raise ConfigError(f"{place} is no folder and no bucket; name images on the web in a text file, one URL a line")
    if told == "folder" and not Path(place).is_dir():
        raise ConfigError(f"{place} is a file, not a folder, archive, table or list of URLs")
    if (store := _store_around(place)) is not None:
        raise ConfigError(f"{place} lies in the store {store}: what is made, not raw images; name the folder of those")
    one_file = is_container(place, (*ARCHIVE_SUFFIXES, *TABLE_SUFFIXES))
    if is_object_url(place) and told in {"bucket", "archives", "tables"} and not one_file:
        _count(look, _objects(place), _Few())
    elif Path(place).is_dir():
        few = _Few()
        _count(look, _files(Path(place)), few)
        _open_some(look, few.sample)
        _compare_some(look, few.pairs)
    elif told == "archives" and not is_url(place):
        _count(look, (_Found(name, size) for name, size in archive_members(Path(place))), _Few())
    elif not is_url(place) and (rows := rows_of(Path(place))) is not None:
        look.images, look.complete, look.columns = rows.count, rows.complete, rows.columns
    return look


def _count(look: Look, found: Iterator[_Found], few: "_Few") -> None:
    """Count what is found, and remember the paths of some images."""
    ends_at = time.monotonic() + _MAX_S
    for number, file in enumerate(found):
        if number >= _MAX_FILES or (number % 256 == 0 and time.monotonic() > ends_at):
            look.complete = False
            return
        folder, _, name = file.path.rpartition("/")
        ending = os.path.splitext(name)[1].lower()  # noqa: PTH122  a key is no path of this machine
        # The rule of a run, so that both count the same.
        if may_be_image(name, IMAGE_EXTENSIONS):
            look.images += 1
            look.size_bytes += file.size_bytes
            look.endings[ending.removeprefix(".") or "without ending"] += 1
            look.folders[folder] += 1
            few.remember(look.images, file)
        elif name.lower().endswith((*ARCHIVE_SUFFIXES, *TABLE_SUFFIXES)):
            look.containers["archives" if name.lower().endswith(ARCHIVE_SUFFIXES) else "tables"] += 1
        else:
            look.others += 1
            look.other_endings[ending or "(none)"] += 1
            if ending in _LABEL_FILES and len(look.label_files) < 10:
                look.label_files.append(file.path)


class _Few:
    """Images spread over all that were seen, and pairs of one size."""

    def __init__(self) -> None:
        self.sample: list[str] = []
        self.pairs: list[tuple[str, str]] = []
        self._by_size: dict[int, str] = {}

    def remember(self, number: int, file: _Found) -> None:
        """Keep each 2^n-th image, with a larger n the more there are."""
        if number % (1 << (number // _OPENED).bit_length()) == 0 or number <= _OPENED:
            self.sample.append(file.path)
        if len(self.sample) > 2 * _OPENED:
            del self.sample[::2]
        other = self._by_size.setdefault(file.size_bytes, file.path)
        if other != file.path and len(self.pairs) < _COMPARED:
            self.pairs.append((other, file.path))


def _compare_some(look: Look, pairs: list[tuple[str, str]]) -> None:
    for one, other in pairs:
        with suppress(OSError):
            look.copies += filecmp.cmp(Path(look.place) / one, Path(look.place) / other, shallow=False)
            look.compared += 1


def _open_some(look: Look, sample: list[str]) -> None:
    from PIL import Image

    ends_at = time.monotonic() + _MAX_S
    # By their own names, so that one large folder does not stand for all.
    for path in sorted(sample, key=lambda path: (path.rpartition("/")[2], path))[:_OPENED]:
        if time.monotonic() > ends_at:
            return
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(Path(look.place) / path) as image:
                look.opened.append(_header(path, image))
        except Exception:  # noqa: BLE001  a decoder raises anything over a bad file, and that is what is to be told
            look.unreadable.append(path)


def _header(path: str, image: "Image.Image") -> Header:
    # Of a PNG Pillow would decode the whole image to look behind it.
    exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
    moving = bool(getattr(image, "is_animated", False))
    return Header(path, image.width, image.height, image.mode, exif.get(0x0112, 1) not in (1, None), moving)


def _store_around(place: str) -> Path | None:
    """Return the store of a dataset that a place is, or lies in."""
    if is_url(place):
        return None
    whole = Path(place).resolve()
    return next((folder for folder in (whole, *whole.parents) if _is_store(folder)), None)


def _is_store(folder: str | Path) -> bool:
    return Path(folder, STORE).is_file() and Path(folder, SHARDS).is_dir()


def _files(root: Path) -> Iterator[_Found]:
    """Yield the files below a folder, the shallow ones first; hidden ones, links and stores are left out."""
    folders: deque[tuple[str, str]] = deque([(str(root), "")])
    while folders:
        path, prefix = folders.popleft()
        if prefix and _is_store(path):
            continue
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, f"{prefix}{entry.name}/"))
                        continue
                    # One that is gone again, or a link to nothing, is nothing.
                    with suppress(OSError):
                        if entry.is_file():
                            yield _Found(f"{prefix}{entry.name}", entry.stat().st_size)
        except OSError as error:
            if not prefix:
                raise SourceError(f"{root} cannot be listed: {error.strerror}; make it readable") from error


def _objects(url: str) -> Iterator[_Found]:
    import obstore
    from obstore.exceptions import BaseError

    from image_assets.sources.object_stores import error_text, open_object_store

    try:
        for chunk in obstore.list(open_object_store(url), chunk_size=1000):
            for entry in chunk:
                yield _Found(entry["path"], entry["size"])
    except (BaseError, OSError) as error:
        raise SourceError(f"{url} cannot be listed: {error_text(error)}") from error
