"""The JSON head that each of the platform's Parquet files carries: its format version, and a checksum of itself."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from image_assets.core.errors import StoreError

# 2 brought checksums of heads and what is known of failures, 3 extra columns, 4 groups and splits in the index.
FORMAT_VERSION = 4
HEAD_KEY = b"image_assets"
_CHECKSUM = "checksum"
# Version 1 had no checksum in its heads.
_FIRST_SEALED = 2


def seal(content: Mapping[str, Any]) -> bytes:
    """Return a head as it is written: JSON in a fixed order, with a checksum of the rest.

    Parquet protects its pages with checksums, not its metadata, where the head lies.
    """
    return json.dumps({**content, _CHECKSUM: _checksum(content)}, sort_keys=True).encode()


def unseal(text: bytes, what: str) -> dict[str, Any]:
    """Return the content of a head.

    Raises:
        StoreError: it was written by a newer version.
        ValueError: it is not what was written.
    """
    content: dict[str, Any] = json.loads(text)
    version = int(content["format_version"])
    refuse_newer(version, what)
    found = content.pop(_CHECKSUM, None)
    if version >= _FIRST_SEALED and found != _checksum(content):
        raise ValueError("its head does not match its checksum")
    return content


def refuse_newer(format_version: int, what: str) -> None:
    """Accept a format version that this code knows.

    Raises:
        StoreError: it was written by a newer version.
    """
    if format_version > FORMAT_VERSION:
        raise StoreError(
            f"{what} has format version {format_version}, this image_assets reads up to {FORMAT_VERSION}; upgrade it"
        )


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
