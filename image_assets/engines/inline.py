"""Tasks in this very process: no isolation, no start-up; for tests and debuggers."""

from collections.abc import Callable, Iterable, Iterator

from image_assets.engines.base import Beat, Done, Lost, R, T


class InlineEngine:
    """Runs each task where it is called."""

    name = "inline"
    far = False

    def map(self, function: Callable[[T, Beat], R], tasks: Iterable[T]) -> Iterator[Done[T, R] | Lost[T]]:
        """Yield each task's result, in order."""
        for task in tasks:
            yield Done(task, function(task, _ignore))

    def __enter__(self) -> "InlineEngine":
        return self

    def __exit__(self, *exc: object) -> None:
        return None


def _ignore(_: int) -> None:
    return None
