"""Keeping model files that are derived from weights, so that they are derived once."""

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path

from image_assets.core.errors import StoreError


def cached_model(cache_dir: Path, stem: str, build: Callable[[], bytes]) -> bytes:
    """Return the model kept as ``stem`` in the cache; build and keep it if it is absent or damaged.

    A file is named ``<stem>.<sha256 of its content>.onnx``, so it carries its own check. It is written aside and
    renamed when complete: several processes may build at once, and one killed on the way leaves nothing but an
    unused ``.partial`` file.

    Args:
        stem: says what the model is derived from; equal stems mean equal models.

    Raises:
        StoreError: the cache folder cannot be read or written.
    """
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        return _find(cache_dir, stem) or _keep(cache_dir, stem, build())
    except OSError as error:
        raise StoreError(
            f"model cache {cache_dir} cannot be used: {error}; name a folder that can be written"
        ) from error


def _find(cache_dir: Path, stem: str) -> bytes | None:
    for path in sorted(cache_dir.glob(f"{stem}.*.onnx")):
        content = path.read_bytes()
        if path.name == _file_name(stem, content):
            return content
    return None


def _keep(cache_dir: Path, stem: str, content: bytes) -> bytes:
    partial = cache_dir / f"{stem}.{uuid.uuid4().hex}.partial"
    try:
        partial.write_bytes(content)
        partial.replace(cache_dir / _file_name(stem, content))
    finally:
        partial.unlink(missing_ok=True)  # still there only when one of the two failed
    return content


def _file_name(stem: str, content: bytes) -> str:
    return f"{stem}.{hashlib.sha256(content).hexdigest()}.onnx"
