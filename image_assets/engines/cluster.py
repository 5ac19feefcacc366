"""An engine over any cluster that takes a task's bytes and gives an answer: what Ray, Dask and Spark have in common."""

import pickle
import sys
import uuid
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from image_assets.engines.base import Done, Lost, R, T
from image_assets.engines.node import Answer, Failure, Job

# Tasks that wait at the workers, beside those that are on, so that none waits for the next.
_WAITING = 2


class Cluster(Protocol):
    """A connection to workers that call :func:`image_assets.engines.node.work`.

    ``slots`` tasks are on at once. A task whose worker is lost is given to another by the cluster itself.
    """

    slots: int

    def begin(self, job: Job) -> None:
        """Let the tasks that follow be of this job."""
        ...

    def send(self, task: bytes) -> Hashable:
        """Give a task to a worker, now or later, and return a ticket for it."""
        ...

    def wait(self, tickets: Collection[Any]) -> Iterable[tuple[Any, Answer]]:
        """Return the answers that are in, at least one of them.

        Raises:
            EngineError: a task cannot be done, since one worker after the other was lost over it.
        """
        ...

    def close(self) -> None:
        """Drop what is under way, end the children of the jobs, and what was started for this engine."""
        ...


class ClusterEngine:
    """Tasks in a cluster, each in a child of one of its workers. Nothing is started before there is a task."""

    far = True

    def __init__(self, name: str, connect: Callable[[], Cluster], *, item_timeout_s: float, memory_bytes: int) -> None:
        self.name = name
        self._connect = connect
        self._item_timeout_s = item_timeout_s
        self._memory_bytes = memory_bytes
        self._cluster: Cluster | None = None
        self._function: object = None

    def map(self, function: Callable[[T, Any], R], tasks: Iterable[T]) -> Iterator[Done[T, R] | Lost[T]]:
        """Yield each task's outcome as it comes.

        Raises:
            ImageAssetsError: what the function raised, as it raised it.
            EngineError: the cluster cannot be reached, or loses one worker after the other.
        """
        under_way: dict[Hashable, T] = {}
        cluster: Cluster | None = None
        for task in tasks:
            if cluster is None:
                cluster = self._begin(function)
            under_way[cluster.send(pickle.dumps(task))] = task
            while len(under_way) >= cluster.slots + _WAITING:
                yield from _collect(cluster, under_way)
        while cluster is not None and under_way:
            yield from _collect(cluster, under_way)

    def __enter__(self) -> "ClusterEngine":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = self._function = None

    def _begin(self, function: Callable[[T, Any], R]) -> Cluster:
        if self._cluster is None:
            self._cluster = self._connect()
        if self._function is not function:
            limits = (self._item_timeout_s, self._memory_bytes)
            # Absolute: a worker's current folder is another one.
            path = tuple(str(Path(place).absolute()) for place in sys.path)
            self._cluster.begin(Job(uuid.uuid4().hex, pickle.dumps(function), *limits, path))
            self._function = function
        return self._cluster


def _collect(cluster: Cluster, under_way: dict[Hashable, T]) -> Iterator[Done[T, Any] | Lost[T]]:
    for ticket, answer in cluster.wait(under_way):
        task = under_way.pop(ticket)
        if isinstance(answer, Failure):
            raise answer.error
        if isinstance(answer, Lost):
            yield Lost(task, answer.position, answer.reason, answer.detail)
        else:
            yield Done(task, pickle.loads(answer))  # noqa: S301  our own workers made it
