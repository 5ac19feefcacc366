"""Which parts of a remux are finished, kept beside them, so that another run can go on where one ended."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from image_assets.core.errors import ConfigError
from image_assets.formats.publishing import published_whole
from image_assets.storage.files import sync_folder

JOURNAL = ".remux-journal.jsonl"
_PARTIAL = ".image-assets-*.part"


class Journal:
    """The parts that are finished, by number: their size, their rows, and the rows that have no output."""

    def __init__(self, file: IO[bytes], parts: dict[int, int]) -> None:
        self._file = file
        # Where the line of each part begins: a line can be long, and there can be many.
        self._lines = parts

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of the finished parts."""
        return frozenset(self._lines)

    def entry(self, number: int) -> dict[str, Any]:
        """Return what was noted of a finished part."""
        self._file.seek(self._lines[number])
        entry: dict[str, Any] = json.loads(self._file.readline())
        return entry

    def finish(self, number: int, entry: Mapping[str, Any]) -> None:
        """Note that a part is finished; it is on the disk when this returns."""
        self._lines[number] = self._file.seek(0, os.SEEK_END)
        self._file.write(_line({"part": number, **entry}))
        self._file.flush()
        os.fsync(self._file.fileno())

    def drop(self, number: int) -> None:
        """Take a part for unfinished: its file is not what it was."""
        self._lines.pop(number)


@contextmanager
def open_journal(out_dir: Path, identity: Mapping[str, Any], *, resume: bool) -> Iterator[Journal]:
    """Yield the journal of a folder, a new one in a new or empty folder.

    Args:
        identity: everything that decides the bytes of the parts; a remux with another one is not gone on with.

    Raises:
        ConfigError: the folder holds something and ``resume`` was not asked for; or it does not hold a remux, or one of
            other settings or another input; or another process is writing there.
    """
    _prepare_folder(out_dir, resume=resume)
    path = out_dir / JOURNAL
    # The folder is locked and not the journal, which may not be there yet.
    handle = os.open(out_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another remux is writing into --out-dir {out_dir}; wait for it") from error
        for partial in out_dir.glob(_PARTIAL):
            partial.unlink()
        if not path.exists():
            with published_whole(path) as aside:
                aside.write_bytes(_line(identity))
            sync_folder(out_dir)
        with path.open("r+b") as file:
            yield Journal(file, _read(file, identity, out_dir))
    finally:
        os.close(handle)


def _prepare_folder(out_dir: Path, *, resume: bool) -> None:
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out-dir {out_dir} cannot be made: {error.strerror}") from error
    partial = {path.name for path in out_dir.glob(_PARTIAL)}
    found = sorted(path.name for path in out_dir.iterdir() if path.name not in partial)
    if found and not resume:
        what = "holds a remux; go on with it with --resume" if JOURNAL in found else f"is not empty ({found[0]})"
        raise ConfigError(f"--out-dir {out_dir} {what}, or give another folder")
    if found and JOURNAL not in found:
        raise ConfigError(f"--out-dir {out_dir} holds {found[0]} and no remux to resume; give an empty folder")


def _read(file: IO[bytes], identity: Mapping[str, Any], out_dir: Path) -> dict[int, int]:
    """Return where each part's line begins; what a killed process left of a line is cut off."""
    parts: dict[int, int] = {}
    at = 0
    for number, line in enumerate(iter(file.readline, b"")):
        try:
            content = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            content = None
        if content is None:
            break
        if number == 0:
            _refuse_other(content, json.loads(_line(identity)), out_dir)
        else:
            parts[content["part"]] = at
        at += len(line)
    if not at:
        raise ConfigError(f"--out-dir {out_dir}: {JOURNAL} is damaged; give an empty folder")
    file.truncate(at)
    return parts


def _refuse_other(found: Mapping[str, Any], wanted: Mapping[str, Any], out_dir: Path) -> None:
    name = _first_difference(found, wanted)
    if name is None:
        return
    before, now, where = found.get(name), wanted.get(name), name
    if isinstance(before, dict) and isinstance(now, dict):
        inner = _first_difference(before, now) or ""
        before, now, where = before.get(inner), now.get(inner), f"{name} {inner}"
    raise ConfigError(
        f"--resume: {where} was {_short(before)} when the remux in {out_dir} began and is {_short(now)}; "
        "its parts would not go together, so use what it began with or another --out-dir"
    )


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    return next((name for name in sorted({*one, *other}) if one.get(name) != other.get(name)), None)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode() + b"\n"
