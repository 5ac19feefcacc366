"""What travels between a run and its workers: tasks, their results, and what is the same for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from image_assets.core.manifest import Counts
from image_assets.pipeline.claims import Claims
from image_assets.pipeline.outputs import Row
from image_assets.settings import Settings
from image_assets.storage.contents import ContentIndex


@dataclass(frozen=True, slots=True)
class Task:
    """Some images of one shard; ``work`` has WORK_SCHEMA. ``lost`` are tasks of this run that never came back."""

    number: int
    shard: str
    work: pa.Table
    lost: frozenset[int] = frozenset()


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

    contents: ContentIndex
    failures: Mapping[str, Failure]
    forgotten: frozenset[str]
    tried: Mapping[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is the same for all tasks of a run; ``started_at`` is UTC in ISO 8601."""

    settings: Settings
    recipe_id: str
    started_at: str
    claims: Claims
