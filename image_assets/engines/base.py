"""What an engine does: run one function over many tasks somewhere, and say which task a death cost."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# A task's function calls this with the position of the item it starts on, so that a death can be blamed on one item.
Beat = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Done(Generic[T, R]):
    """A task and its result."""

    task: T
    result: R


@dataclass(frozen=True, slots=True)
class Lost(Generic[T]):
    """A task whose worker died or was stopped; nothing of it came back.

    ``position`` is the item it was on (the last beat), ``reason`` decoder_crashed or decoder_timeout.
    """

    task: T
    position: int
    reason: str
    detail: str


class Engine(Protocol):
    """Where tasks run. Used as a context manager; leaving it ends every process it started.

    With ``far`` workers may be on other machines: they reach the store and the source, not this machine's files, and
    a task may be begun anew on another machine when one is lost. ``name`` is its key in ``ENGINES``.
    """

    name: str
    far: bool

    def map(self, function: Callable[[T, Beat], R], tasks: Iterable[T]) -> Iterator[Done[T, R] | Lost[T]]:
        """Yield each task's outcome as it comes, in any order; tasks are drawn from the iterable as workers free up.

        Raises:
            ImageAssetsError: what the function raised, as it raised it.
            EngineError: workers cannot be started.
        """
        ...

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *exc: object) -> None: ...
