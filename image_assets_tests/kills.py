"""A run that ends in the middle without ending the test: stands for SIGKILL where a process would cost too much."""

from collections.abc import Callable

from image_assets.storage.store import Store


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of the platform catches it."""


class killed_at_write:  # noqa: N801  reads like a function
    """Ends the work at the n-th file that a store writes, just before or just after it.

    ``counted`` says which paths in the store count; by default all.
    """

    def __init__(self, number, *, after, counted: Callable[[str], bool] = lambda _: True):
        self.left, self.after, self.counted = number, after, counted
        self.verbs = (Store.put, Store.put_if_absent)

    def __enter__(self):
        Store.put, Store.put_if_absent = map(self._killing, self.verbs)

    def __exit__(self, *exc):
        Store.put, Store.put_if_absent = self.verbs

    def _killing(self, write):
        def killing(store, path, data):
            self.left -= self.counted(path)
            if self.left < 0 and not self.after:
                raise KilledError
            wrote = write(store, path, data)
            if self.left < 0:
                raise KilledError
            return wrote

        return killing
