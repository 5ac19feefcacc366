"""In a worker process of a cluster: a child process for each task that is on, isolated as on one machine.

A cluster's own workers serve many images and many people: what an image does to a decoder must not happen in them. So
they pass tasks on, as bytes that they do not look into, to a worker of :mod:`image_assets.engines.local`.
"""

import pickle
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from image_assets.core.errors import EngineError, ImageAssetsError
from image_assets.engines.base import Beat, Done, Lost
from image_assets.engines.local import LocalEngine

# So long a child waits for the next task of its job: a driver that was killed cannot say that there will be none.
_IDLE_S = 30.0
# Of so many jobs that ended it is known that none of their tasks may begin any more.
_ENDED = 1000


@dataclass(frozen=True, slots=True)
class Job:
    """A function, pickled, that is run over tasks, and what one item of a task may take.

    ``path`` is where the run looks for modules: a transform of one's own may lie beside the settings.
    """

    id: str
    function: bytes
    item_timeout_s: float
    memory_bytes: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a task's function, or its child process, raised."""

    error: ImageAssetsError


# What comes back of a task, pickled: its result, where its child died, or what it raised.
Answer = bytes | Lost[None] | Failure


def work(job: Job, task: bytes) -> Answer:
    """Return what became of one pickled task; a result is pickled by the child and passed on as it is."""
    try:
        child = _CHILDREN.take(job)
    except EngineError as error:
        return Failure(error)
    try:
        (outcome,) = child.engine.map(child.function, [_Packed(task)])
    except ImageAssetsError as error:
        _CHILDREN.drop(child)
        return Failure(error)
    except BaseException:
        _CHILDREN.drop(child)
        raise
    _CHILDREN.put_back(child)
    if isinstance(outcome, Done):
        return outcome.result
    return Lost(None, outcome.position, outcome.reason, outcome.detail)


def end(job_id: str) -> None:
    """Stop the children of a job, also those that are on a task, and begin none of its tasks any more."""
    _CHILDREN.end(job_id)


class _Packed:
    """Pickled bytes that become the object itself where they arrive, and are not looked into on the way."""

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return pickle.loads, (self._pickled,)


class _Packing:
    """A function that pickles its results."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, task: Any, beat: Beat) -> bytes:
        return pickle.dumps(self._function(task, beat))


@dataclass(slots=True)
class _Child:
    job_id: str
    engine: LocalEngine
    function: Callable[[Any, Beat], bytes]
    idle_since: float = 0.0


class _Children:
    """The child processes of this process. A cluster may run several tasks in it at once, in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: list[_Child] = []
        self._ended: deque[str] = deque(maxlen=_ENDED)
        self._watched = False

    def take(self, job: Job) -> _Child:
        with self._lock:
            if job.id in self._ended:
                raise EngineError("the run that this task is of has ended")
            child = next((child for child in self._idle if child.job_id == job.id), None)
            if child is not None:
                self._idle.remove(child)
            else:
                engine = LocalEngine(1, job.item_timeout_s, job.memory_bytes, job.path)
                child = _Child(job.id, engine, _Packing(_Packed(job.function)))
            self._busy.append(child)
            return child

    def drop(self, child: _Child) -> None:
        with self._lock:
            self._busy.remove(child)
        child.engine.__exit__()

    def put_back(self, child: _Child) -> None:
        child.idle_since = time.monotonic()
        with self._lock:
            self._busy.remove(child)
            ended = child.job_id in self._ended
            watch = not ended and not self._watched
            if not ended:
                self._idle.append(child)
                self._watched = True
        if ended:
            child.engine.__exit__()
        elif watch:
            threading.Thread(target=self._watch, name="image-assets-children", daemon=True).start()

    def end(self, job_id: str) -> None:
        with self._lock:
            self._ended.append(job_id)
            busy = [child for child in self._busy if child.job_id == job_id]
        for child in busy:
            child.engine.abort()
        self.stop(lambda child: child.job_id == job_id)

    def stop(self, chosen: Callable[[_Child], bool]) -> None:
        with self._lock:
            ended = [child for child in self._idle if chosen(child)]
            self._idle = [child for child in self._idle if not chosen(child)]
        for child in ended:
            child.engine.__exit__()

    def _watch(self) -> None:
        while True:
            time.sleep(_IDLE_S / 4)
            self.stop(lambda child: child.idle_since < time.monotonic() - _IDLE_S)
            with self._lock:
                if not self._idle:
                    self._watched = False
                    return


_CHILDREN = _Children()
