"""The process that holds a run's connection to Ray: it passes on tasks, and ends all it began when the run is gone."""

import importlib.metadata
import queue
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from image_assets.engines.ray_session import Start, connect, end, refusal
from image_assets.engines.ray_task import task_function

_LOSSES = 3
_LOOK_EVERY_S = 5.0
# So long a task that is cancelled may take to stop its child.
_CANCEL_S = 3.0


def serve(handle: int) -> None:
    """Serve a run: a start, then jobs and tasks, until its end of the socket closes.

    Args:
        handle: file descriptor of the socket.
    """
    connection = Connection(handle)
    _, _, start = connection.recv()
    try:
        connect(start)
    except Exception as error:  # noqa: BLE001  the run raises it
        connection.send(("error", refusal(start, error)))
        return
    try:
        connection.send(("ready", 0))
        _Driver(connection, start).run()
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        end(start)


class _Driver:
    """The tasks that are on or wait. All is done in one thread; others only note events."""

    def __init__(self, connection: Connection, start: Start) -> None:
        import ray

        self._ray = ray
        self._connection = connection
        self._start = start
        self._work = ray.remote(num_cpus=1, memory=start.memory_bytes, max_retries=0)(
            task_function(importlib.metadata.version("image-assets"))
        )
        self._events: queue.SimpleQueue[tuple[str, Any, Any]] = queue.SimpleQueue()
        self._job: Any = None
        self._tasks: dict[int, tuple[Any, bytes]] = {}
        self._waiting: deque[int] = deque()
        self._on: dict[int, Any] = {}
        self._losses: dict[int, int] = {}
        self._fits_at = time.monotonic()

    def run(self) -> None:
        """Do what comes until the run is gone; then stop what is on."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            try:
                kind, number, value = self._events.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                self._refuse_small_machines()
                continue
            if kind == "gone":
                self._cancel()
                return
            if kind == "job":
                self._job = self._ray.put(value)
            elif kind == "task":
                self._tasks[number] = (self._job, value)
                self._waiting.append(number)
            else:
                self._note(number, value)
            while self._waiting and len(self._on) < self._start.slots:
                self._give(self._waiting.popleft())

    def _listen(self) -> None:
        try:
            while True:
                self._events.put(self._connection.recv())
        except (EOFError, OSError):
            self._events.put(("gone", 0, None))

    def _give(self, number: int) -> None:
        reference = self._work.remote(*self._tasks[number])
        self._on[number] = reference
        reference.future().add_done_callback(lambda done: self._events.put(("done", number, done)))

    def _note(self, number: int, done: Future[tuple[str, Any]]) -> None:
        del self._on[number]
        error = done.exception()
        if error is None:
            del self._tasks[number]
            kind, value = done.result()
            self._connection.send((kind, (number, value) if kind == "answer" else value))
        elif not self._is_loss(error):
            self._connection.send(("error", f"task {number} failed in Ray: {_line(error)}"))
        elif self._losses.get(number, 0) < _LOSSES:
            self._losses[number] = self._losses.get(number, 0) + 1
            self._waiting.appendleft(number)
        else:
            said = f"task {number} lost {_LOSSES + 1} Ray workers one after the other, the last with {_line(error)}; "
            said += "look at the memory of the cluster's machines and at the logs of Ray there (session_latest/logs)"
            self._connection.send(("error", said))

    def _is_loss(self, error: BaseException) -> bool:
        """Return whether the worker was at fault and not the task."""
        known = self._ray.exceptions
        final = (known.RayTaskError, known.RuntimeEnvSetupError, known.TaskUnschedulableError)
        return isinstance(error, known.RayError) and not isinstance(error, final)

    def _refuse_small_machines(self) -> None:
        """Tell the run when no machine of the cluster could ever take a task, and none was added for long."""
        now = time.monotonic()
        needs = {"CPU": 1.0, "memory": float(self._start.memory_bytes)}
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not self._on or any(all(node.get(name, 0) >= least for name, least in needs.items()) for node in alive):
            self._fits_at = now
        elif now - self._fits_at > self._start.grow_s:
            said = f"none of the {len(alive)} machines of the Ray cluster has a core and "
            said += f"{self._start.memory_bytes:,} bytes of memory for tasks; add one, or lower limits.max_memory_bytes"
            self._connection.send(("error", said))

    def _cancel(self) -> None:
        for reference in self._on.values():
            # It is a KeyboardInterrupt there, which stops the child of the task.
            self._ray.cancel(reference)
        until = time.monotonic() + _CANCEL_S
        while self._on and (left := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                kind, number, _ = self._events.get(timeout=left)
                if kind == "done":
                    del self._on[number]


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {(lines[-1] if lines else '')[:300]}"
