"""What is said when the temporary folder is full, missing or broken."""

from collections.abc import Iterator
from contextlib import contextmanager

from image_assets.core.errors import SourceError


@contextmanager
def needing_room(what: str, kind: type[Exception] = OSError) -> Iterator[None]:
    """Turn what a file in the temporary folder raises into an error that says what to do.

    Args:
        what: needs room there, in the plural.
        kind: what is raised.

    Raises:
        SourceError: the folder is full, missing or broken.
    """
    try:
        yield
    except kind as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(
            f"{what} need room in a temporary folder: {said}; make room there or set TMPDIR to a folder that has some"
        ) from error
