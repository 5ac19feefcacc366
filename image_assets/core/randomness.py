"""Randomness that depends on what is drawn for, never on order, worker or machine."""

import hashlib

import numpy as np


def keyed_generator(seed: int, sha256: str, operation: str, variant: int) -> np.random.Generator:
    """Return the generator for one operation on one variant of one image.

    The key is hashed into a Philox counter-based generator (Salmon et al., "Parallel random numbers: as easy as
    1, 2, 3", SC 2011), so draws for different keys are independent and the same key always draws the same.

    Args:
        sha256: hex digest of the raw bytes, so a renamed image keeps its draws.
    """
    key = hashlib.blake2b(f"{seed}\0{sha256}\0{operation}\0{variant}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
