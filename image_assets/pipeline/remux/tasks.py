"""What travels between a remux and its workers: plain values, so that a worker need not load Arrow."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RawImage:
    """One row's image as its table holds it: bytes, or the path of a file beside the table, or neither."""

    data: bytes | None
    path: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """Consecutive rows for one worker.

    ``rows`` are their numbers; a piece of a task that was lost has the number of the whole.
    ``columns`` are the other columns' values, a list each, when a function of the user's is to see them.
    """

    number: int
    rows: tuple[int, ...]
    images: tuple[RawImage, ...]
    columns: dict[str, list[Any]] | None = None

    def part(self, places: list[int]) -> "Task":
        """Return the task of some of its rows."""
        columns = self.columns and {name: [values[at] for at in places] for name, values in self.columns.items()}
        rows, images = tuple(self.rows[at] for at in places), tuple(self.images[at] for at in places)
        return Task(self.number, rows, images, columns)


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one row: the bytes of its output, or a reason why there is none.

    ``sha256`` is that of the raw bytes, None when there were none to read.
    ``values`` are what a function of the user's made of the other columns.
    """

    row: int
    sha256: str | None
    data: bytes | None = None
    reason: str | None = None
    detail: str | None = None
    values: dict[str, Any] | None = None
