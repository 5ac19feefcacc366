"""A file written aside, under a temporary name in the same folder, and published whole or not at all."""

import secrets
from collections.abc import Iterator
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
