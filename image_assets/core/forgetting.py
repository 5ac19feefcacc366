"""How the store remembers bytes that it must not take again, without keeping their hash."""

import hashlib


def forgotten_mark(sha256: str) -> str:
    """Return what stands for forgotten bytes: a hash of their hash, so that neither can be searched for in the store.

    Args:
        sha256: of the raw bytes, hex.
    """
    return hashlib.sha256(b"image_assets forgotten\0" + bytes.fromhex(sha256)).hexdigest()
