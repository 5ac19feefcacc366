"""A run that ends in the middle without ending the test: stands for SIGKILL where a process would cost too much."""

from collections.abc import Callable

from image_assets.storage import store as store_module


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of the platform catches it."""


class killed_at_write:  # noqa: N801  reads like a function
    """Ends the work at the n-th file that a store in a folder writes, just before or just after it.

    ``counted`` says which paths in the store count; by default all.
    """

    def __init__(self, number, *, after, counted: Callable[[str], bool] = lambda _: True):
        self.left, self.after, self.counted = number, after, counted
        self.write = store_module.write_whole

    def __enter__(self):
        store_module.write_whole = self

    def __exit__(self, *exc):
        store_module.write_whole = self.write

    def __call__(self, root, path, *args, **kwargs):
        self.left -= self.counted(path)
        if self.left < 0 and not self.after:
            raise KilledError
        wrote = self.write(root, path, *args, **kwargs)
        if self.left < 0:
            raise KilledError
        return wrote
