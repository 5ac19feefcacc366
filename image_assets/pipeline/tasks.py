"""What travels between a run and its workers: tasks, their results, and what is the same for all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from image_assets.core.manifest import Counts
from image_assets.pipeline.claims import Claims
from image_assets.pipeline.outputs import Row
from image_assets.settings import Settings
from image_assets.storage.contents import Contents


@dataclass(frozen=True, slots=True)
class Task:
    """Some images of one shard; ``work`` has WORK_SCHEMA. ``lost`` are tasks of this run that never came back."""

    number: int
    shard: str
    work: pa.Table
    lost: frozenset[int] = frozenset()

    def __reduce__(self) -> "tuple[Callable[..., Task], tuple[int, str, bytes, frozenset[int]]]":
        # Pickled by Arrow, a slice of a shard's work takes all of the shard along.
        return _task_of, (self.number, self.shard, packed(self.work), self.lost)


def packed(rows: pa.Table) -> bytes:
    """Return a table, which may be a slice of a larger one, as bytes that hold no more than its own rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())


def unpacked(data: bytes) -> pa.Table:
    """Return the table that :func:`packed` made bytes of."""
    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()


def _task_of(number: int, shard: str, work: bytes, lost: frozenset[int]) -> Task:
    return Task(number, shard, unpacked(work), lost)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of a task's images: manifest rows, without those that vanished, and the counts of these rows.

    ``lost`` of those that ``vanished`` were in the dataset.
    ``deferred`` are images whose bytes another task is working on: (row of WORK_SCHEMA, number of that task).
    """

    rows: pa.Table
    counts: Counts
    vanished: int
    busy_sec: float
    lost: int = 0
    deferred: tuple[tuple[Row, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Bytes that are known to have no output; when they were first met and how often they were tried."""

    reason: str
    detail: str
    first_seen: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Known:
    """What was known before the run: processed bytes, failures by sha256, marks of forgotten bytes.

    ``tried`` are failures that this run tries again.
    """

    contents: Contents
    failures: Mapping[str, Failure]
    forgotten: frozenset[str]
    tried: Mapping[str, Failure] = field(default_factory=dict)


class Witness(Protocol):
    """The run itself, asked by workers that may not see the source as it does."""

    def sees(self, key: str, locator: bytes | None) -> bool:
        """Return whether the run still finds an image in the source."""
        ...


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is the same for all tasks of a run; ``started_at`` is UTC in ISO 8601.

    ``witness`` is there when workers may be on other machines.
    """

    settings: Settings
    recipe_id: str
    started_at: str
    claims: Claims
    witness: Witness | None = None
