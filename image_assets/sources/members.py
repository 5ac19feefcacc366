"""One member of an archive, its name as part of a key, and what its neighbours say of its label."""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from image_assets.core.extra import extra_text
from image_assets.sources.names import escaped

# Why a member has no bytes of its own that could be read; the position stands in its locator.
PROBLEMS = (
    "",
    "a link; links inside archives are not followed, put the file itself there",
    "a sparse file; write the archive without --sparse",
    "encrypted; write the archive without a password",
    "compressed by a method that is not read; use deflate or store",
)
FINE, LINK, SPARSE, ENCRYPTED, METHOD = range(5)


@dataclass(frozen=True, slots=True)
class Member:
    """One file in an archive.

    ``offset`` is where it begins in the container (for a unit); ``place`` is how it is found again: it begins with
    the offset as eight big-endian bytes, so that places sort like offsets.
    """

    name: bytes
    offset: int
    size_bytes: int
    place: bytes
    problem: int = FINE


class Archive(Protocol):
    """An open archive."""

    def members(self) -> Iterator[Member]:
        """Yield every member that is no folder or device, in the order of the archive.

        Raises:
            ContainerError: it is damaged, truncated or no archive.
            SourceFileError: it cannot be read (reason unreadable).
            VanishedError: it is gone, or was replaced.
        """
        ...

    def data(self, place: bytes, max_bytes: int) -> bytes:
        """Return one member's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable or too_large).
            VanishedError: the archive is gone, or was replaced.
        """
        ...


def name_in_key(name: bytes) -> str | None:
    """Return a member's name as it stands in its key, None for a hidden one (``._x.jpg``) or none at all.

    NFC; no slash in front, no ``.``; a ``..`` becomes ``%2E%2E`` and leads nowhere; what is no UTF-8 is ``%XX``.
    """
    try:
        text = unicodedata.normalize("NFC", name.decode())
    except UnicodeDecodeError:
        text = escaped(name)
    parts = ["%2E%2E" if part == ".." else part for part in text.split("/") if part not in {"", "."}]
    return None if not parts or any(part.startswith(".") for part in parts) else "/".join(parts)


def sample_of(name: str) -> tuple[str, str]:
    """Return (the sample that a member belongs to, its part of it) as WebDataset does: cut at the first dot."""
    folder, slash, last = name.rpartition("/")
    base, _, part = last.partition(".")
    return f"{folder}{slash}{base}", part


@dataclass(frozen=True, slots=True)
class Told:
    """What a neighbour of an image says of it: a label, and other fields as one JSON text."""

    label: str | None = None
    extra: str | None = None


def told_in(part: str, data: bytes, fields: Sequence[str]) -> Told:
    """Return what a ``.cls`` or ``.json`` member says of its sample.

    Args:
        fields: those to keep of a ``.json``.

    Raises:
        ValueError: they take too much.
    """
    try:
        text = data.decode().strip()
        if part == "cls":
            return Told(text or None)
        content = json.loads(text)
    except (ValueError, RecursionError):
        return Told()
    if not isinstance(content, dict):
        return Told()
    label = content.get("label")
    # JSON can name half a surrogate pair, which is no text.
    said = str(label).encode(errors="replace").decode() if isinstance(label, str | int) else None
    return Told(said, extra_text({name: content[name] for name in fields if name in content}))
