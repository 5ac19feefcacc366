"""How far a long job is: whoever does it tells whoever listens, if anybody does, as log lines are told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Who is told."""

    def begin(self, stage: "Stage") -> None:
        """Hear that a stage begins."""
        ...

    def go_on(self, stage: "Stage") -> None:
        """Hear that something of it was done, or how much there is of it."""
        ...

    def end(self, stage: "Stage") -> None:
        """Hear that it has ended, or failed."""
        ...


class Stage:
    """One part of a job: ``done`` of ``total`` units; without a total nobody knows how much there is."""

    def __init__(self, name: str, unit: str, listener: Listener | None) -> None:
        """Begin with nothing done."""
        self.name = name
        self.unit = unit
        self.total: int | None = None
        self.done = 0
        self._listener = listener

    def set_total(self, total: int) -> None:
        """Say how much there is to do."""
        self.total = total
        self._tell()

    def leave_out(self, units: int) -> None:
        """Say that some of the total need not be done."""
        self.total = max(self.done, (self.total or 0) - units)
        self._tell()

    def advance(self, units: int) -> None:
        """Say that so much more is done."""
        self.done += units
        if self.total is not None:
            self.done = min(self.done, self.total)
        self._tell()

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener.go_on(self)


@contextmanager
def stage(name: str, unit: str = "", *, total: int | Callable[[], int] | None = None) -> Iterator[Stage]:
    """Yield what is told how far this part of the job is.

    Args:
        total: how much there is to do; a function is only called when somebody listens.
    """
    listener = _LISTENER.get()
    told = Stage(name, unit, listener)
    if listener is None:
        yield told
        return
    told.total = total() if callable(total) else total
    listener.begin(told)
    try:
        yield told
    finally:
        listener.end(told)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have a listener told of what is done in this thread while the block lasts."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


_LISTENER: ContextVar[Listener | None] = ContextVar("progress", default=None)
