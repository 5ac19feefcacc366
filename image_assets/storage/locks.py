"""Who uses a store's files: runs side by side, clean-up alone. The kernel holds the locks: a dead process has none."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from image_assets.core.errors import StoreError
from image_assets.storage import layout
from image_assets.storage.store import Store


@contextmanager
def in_use(store: Store) -> Iterator[None]:
    """Keep clean-up away while the block lasts; waits until one under way has ended.

    An object store has no such lock: there clean-up leaves everything that is young.

    Raises:
        StoreError: the store cannot be written.
    """
    with _locked(store, fcntl.LOCK_SH):
        yield


@contextmanager
def alone(store: Store, *, wait: bool) -> Iterator[bool]:
    """Yield whether nobody else uses the store while the block lasts; runs that start meanwhile wait.

    Args:
        wait: wait for the runs under way instead of yielding False. In vain for an object store.

    Raises:
        StoreError: the store cannot be written.
    """
    with _locked(store, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB) as locked:
        yield locked


@contextmanager
def _locked(store: Store, operation: int) -> Iterator[bool]:
    if store.folder is None:
        yield False
        return
    path = store.folder / layout.LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StoreError(f"cannot write {layout.LOCK!r} in store {store.url}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, operation)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
