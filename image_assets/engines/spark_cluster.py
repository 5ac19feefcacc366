"""Tasks in Apache Spark, a job each: results come as they finish, and Spark gives a lost one to another worker."""

import pickle
import queue
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from image_assets.core.errors import EngineError, MissingExtraError
from image_assets.engines.node import Answer, Job

if TYPE_CHECKING:
    from pyspark import Broadcast

    from image_assets.engines.spark_context import OwnContext

# Jobs that Spark has beside those that have a core, so that no core waits for this process.
_WAITING = 2
# A signal is noticed this often, and the cluster looked at, when no answer comes.
_SLICE_S, _LOOK_EVERY_S = 0.5, 5.0
# So long all tasks may be without a core: other applications may have them all, or machines are still being started.
_NO_CORE_S = 300.0
_JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A task that is to become a Spark job; ``job`` is a pickled Job, wherever Spark has it."""

    number: int
    group: str
    job: "Broadcast[bytes]"
    task: bytes


class SparkCluster:
    """A Spark context and threads, each of which waits for one Spark job at a time."""

    def __init__(self, address: str | None, workers: int, memory_bytes: int, host: str | None = None) -> None:
        """Start a context, or take the one that this process has already.

        Args:
            address: of the master: ``spark://host:7077``, ``k8s://https://host:443``, ``yarn``; none, or one that
                begins with ``local``, is Spark in this machine alone.
            host: under which executors reach this process; none: this machine's address on the way to the master.

        Raises:
            MissingExtraError: PySpark or Java is not installed.
            EngineError: there is no such cluster, or it does not take the run.
        """
        try:
            from pyspark import SparkContext
        except ImportError as error:
            raise MissingExtraError("PySpark is not installed: pip install 'image_assets[spark]'") from error
        from image_assets.engines.spark_context import own_context, refuse_other

        self.slots = max(1, workers)
        self._own: OwnContext | None = None
        if (taken := SparkContext._active_spark_context) is None:
            self._own = own_context(address, self.slots, memory_bytes, host)
            self._context = self._own.context
        else:
            refuse_other(taken, address)
            self._context = taken
        self._master = self._context.master
        self._sent = 0
        self._group: str | None = None
        self._job: Broadcast[bytes] | None = None
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[int, bytes | str | BaseException]] = queue.SimpleQueue()
        self._busy_at = time.monotonic()
        # What another application of this process has is shared with it: there no more than was asked for.
        threads = self.slots + (_WAITING if self._own is not None else 0)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def begin(self, job: Job) -> None:
        """Give a job to Spark, once; each executor fetches it when it first needs it.

        Raises:
            EngineError: the context is gone.
        """
        self._end_job()
        try:
            self._job = self._context.broadcast(pickle.dumps(job))
        except Exception as error:
            raise self._told(self._sent, error) from error
        self._group = f"image_assets-{job.id}"

    def send(self, task: bytes) -> int:
        """Let a thread make a Spark job of a task, and return the task's number."""
        if self._group is None or self._job is None:
            raise EngineError("a task came before its job")
        self._sent += 1
        self._asked.put(_Asked(self._sent, self._group, self._job, task))
        return self._sent

    def wait(self, tickets: Collection[Any]) -> Iterable[tuple[Any, Answer]]:
        """Return the answers that are in, at least one of them.

        Raises:
            EngineError: a task lost one worker after the other, no core comes free, Spark is gone, or a worker cannot
                do such tasks.
        """
        found: list[tuple[int, Answer]] = []
        looked_at = self._busy_at = time.monotonic()
        while not found or not self._answers.empty():
            try:
                number, answer = self._answers.get(timeout=_SLICE_S)
            except queue.Empty:
                if time.monotonic() > looked_at + _LOOK_EVERY_S:
                    self._refuse_no_core()
                    looked_at = time.monotonic()
                continue
            # Others are of an earlier job, which was dropped.
            if number in tickets:
                found.append((number, self._checked(number, answer)))
        return found

    def close(self) -> None:
        """Drop what is under way; stop the context, unless it was there before."""
        try:
            self._end_job()
            for _ in self._threads:
                self._asked.put(None)
        finally:
            if self._own is not None:
                self._own.close()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _serve(self) -> None:
        """Do one task after the other, in a thread."""
        while (asked := self._asked.get()) is not None:
            if asked.group != self._group:
                continue
            answer: bytes | str | BaseException
            try:
                self._context.setJobGroup(asked.group, f"image_assets: task {asked.number}", interruptOnCancel=True)
                work = _on_worker(asked.job, metadata.version("image-assets"))
                (answer,) = self._context.parallelize([asked.task], 1).map(work).collect()
            except Exception as error:  # noqa: BLE001  who waits for it says what it means
                answer = error
            self._answers.put((asked.number, answer))

    def _checked(self, number: int, answer: bytes | str | BaseException) -> Answer:
        if isinstance(answer, bytes):
            unpacked: Answer = pickle.loads(answer)  # noqa: S301  our own workers made it
            return unpacked
        if isinstance(answer, str):
            raise EngineError(answer)
        raise self._told(number, answer) from answer

    def _told(self, number: int, error: BaseException) -> EngineError:
        """Return an error that says in one line what happened in Spark."""
        from image_assets.engines.spark_context import first_line

        if self._own is not None and (ended := self._own.ended()) is not None:
            return EngineError(f"the JVM of the run's Spark context ended: {ended}")
        text = str(error)
        if self._own is not None and ("stopped SparkContext" in text or "SparkContext was shut down" in text):
            return EngineError(
                f"Spark at {self._master} ended the run's application: {self._own.last_words()}; look at what its "
                "workers log"
            )
        if found := re.search(r'Cannot run program "([^"]*)"', text):
            return EngineError(
                f"a Spark worker has no Python at {found[1]}; set PYSPARK_PYTHON to the one there that has image_assets"
            )
        if found := re.search(r"PYTHON_VERSION_MISMATCH\][^\n]*", text):
            return EngineError(f"a Spark worker has another Python than this: {found[0][25:]}; install the same")
        if found := re.search(r"failed (\d+) times, most recent failure: ([^\n]*)", text):
            return EngineError(
                f"task {number} lost its Spark worker, {found[1]} in all ({found[2][-300:]}); look at what the "
                "executors wrote and at the memory of their machines"
            )
        return EngineError(f"Spark could not do task {number}: {first_line(error)}")

    def _refuse_no_core(self) -> None:
        """Accept that a task is on, or that it is not long since one was."""
        tracker = self._context.statusTracker()
        # A context that is gone says so to the threads.
        with suppress(Exception):
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            if any(stage is not None and stage.numActiveTasks for stage in stages):
                self._busy_at = time.monotonic()
        if time.monotonic() > self._busy_at + _NO_CORE_S:
            raise EngineError(
                f"Spark at {self._master} has had no core for a task for {_NO_CORE_S:g} s; look at what its "
                "master says of workers, free cores and memory"
            )

    def _end_job(self) -> None:
        """Drop a job's tasks. Children that wait for more in processes of Spark's that stay end by themselves."""
        group, self._group = self._group, None
        job, self._job = self._job, None
        # Of a context that is gone nothing is left to be ended.
        with suppress(Exception):
            if group is not None:
                self._context.cancelJobGroup(group)
            if job is not None:
                job.destroy()


def _on_worker(job: "Broadcast[bytes]", version: str) -> Callable[[bytes], bytes | str]:
    """Return what Spark does with a task. A function inside one travels as it is and not by name.

    So a worker that has not this package can say so.
    """

    def work(task: bytes) -> bytes | str:
        import importlib.metadata
        import pickle
        import socket
        import sys

        here = f"the Spark worker on {socket.gethostname()} ({sys.executable})"
        try:
            from image_assets.engines import node

            found = importlib.metadata.version("image-assets")
        except ImportError as error:
            return f"{here} cannot import image_assets {version} ({error}); install it, or set PYSPARK_PYTHON"
        if found != version:
            return f"{here} has image_assets {found}, this is {version}; install that"
        return pickle.dumps(node.work(pickle.loads(job.value), task))  # noqa: S301  the run made it

    return work
