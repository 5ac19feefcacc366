"""What is written aside, under a temporary name in the same folder, and published whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def published_whole(target: Path) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well it replaces ``target``, otherwise nothing is left of it.

    A killed process leaves ``target`` as it was, and a hidden ``.image-assets-*.part`` beside it.

    Raises:
        OSError: the file cannot take the target's place.
    """
    # Short, and not made from the target's name, which may be as long as a name can be.
    part = target.with_name(f".image-assets-{secrets.token_hex(4)}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def published_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to write to; when the block ends well it replaces ``target``, otherwise nothing is left of it.

    A process that is killed between the two renames leaves the older folder as a hidden ``.image-assets-*.old``.

    Raises:
        OSError: a file has the target's name, or the folder cannot take its place.
    """
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file; name a folder, or remove it")
    part = target.with_name(f".image-assets-{secrets.token_hex(4)}.part")
    part.mkdir()
    old = part.with_suffix(".old")
    try:
        yield part
        if target.is_dir():
            target.rename(old)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


class LocalFolder:
    """A folder in which each file is written whole, and has reached the disk, or is not there."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def paths(self) -> Iterator[str]:
        """Yield the paths of all files below the folder, relative to it."""
        for folder, _, names in os.walk(self._root):
            relative = Path(folder).relative_to(self._root)
            yield from ((relative / name).as_posix() for name in names)

    def first_line(self, path: str) -> str | None:
        """Return the first line of a file, None when there is none.

        Raises:
            OSError: it cannot be read.
        """
        try:
            with (self._root / path).open(encoding="utf-8", errors="replace") as file:
                return file.readline(4096)
        except FileNotFoundError:
            return None

    def put(self, path: str, data: bytes) -> None:
        """Write a file, over one that is there.

        Raises:
            OSError: it cannot be written.
        """
        self._write(path, [data])

    def put_lines(self, path: str, lines: Iterable[str]) -> None:
        """Write a text file, over one that is there.

        Raises:
            OSError: it cannot be written.
        """
        self._write(path, (line.encode() for line in lines))

    def delete(self, path: str) -> None:
        """Remove a file, and its folder when that is empty then.

        Raises:
            OSError: it cannot be removed.
        """
        (self._root / path).unlink(missing_ok=True)
        folder = (self._root / path).parent
        if folder != self._root and not any(folder.iterdir()):
            folder.rmdir()

    def _write(self, path: str, pieces: Iterable[bytes]) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with published_whole(target) as part, part.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            # It is never read again: a power failure must not leave an empty file under a hash.
            os.fsync(file.fileno())
