"""Dask: a scheduler somewhere that gives tasks to its workers, or a small one in threads of this process."""

import asyncio
import pickle
import queue
import time
from collections.abc import Collection, Coroutine, Iterable
from concurrent import futures
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import TYPE_CHECKING, Any

from image_assets.core.errors import EngineError, MissingExtraError
from image_assets.engines.dask_calls import end_function, installed_version, work_function
from image_assets.engines.dask_here import event_loop, own_cluster, quiet, settings_for_now
from image_assets.engines.node import Answer, Job

if TYPE_CHECKING:
    from distributed import Client, Future

# To reach the scheduler, and to get any other answer of it.
_CONNECT_S, _GRACE_S, _ASK_S = 15.0, 2.0, 10.0
# A signal is noticed this often, and the cluster looked at, when no answer comes.
_SLICE_S, _LOOK_EVERY_S = 0.5, 5.0
# So long a cluster may have no worker: one that grows with what there is to do starts with none.
_NO_WORKER_S = 120.0
_PACKAGES = ("dask", "distributed")
_DROPPED = (asyncio.CancelledError, futures.CancelledError)

# What came of a task: its packed answer, what its worker cannot do, or what Dask says.
_Outcome = bytes | str | BaseException


class DaskCluster:
    """A connection to a Dask scheduler. A lost worker's tasks are given to others by the scheduler, three times.

    Everything of Dask is done in an event loop in a thread: of its own accord it waits for some answers for ever.
    """

    def __init__(self, address: str | None, workers: int, _memory_bytes: int) -> None:
        """Connect, or start a scheduler and a worker with so many threads in this process.

        Args:
            address: of the scheduler, such as ``tcp://host:8786``; what ``tls://`` needs is in Dask's configuration.
            workers: how many tasks are on at once; what the cluster has no thread for waits at the scheduler.

        Raises:
            MissingExtraError: Dask is not installed.
            EngineError: there is no such scheduler, or it or a worker has other versions.
        """
        try:
            import distributed  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("Dask is not installed: pip install 'image_assets[dask]'") from error
        self.slots = max(1, workers)
        self._answers: queue.SimpleQueue[tuple[str, _Outcome]] = queue.SimpleQueue()
        self._tasks: dict[str, Future] = {}
        # The number of a job, and where the cluster holds it.
        self._job_id: str | None = None
        self._job: Future | None = None
        self._sent = 0
        self._function = work_function()
        self._worker_seen_at = time.monotonic()
        self._address = address or "this process"
        with ExitStack() as opened:
            opened.enter_context(quiet())
            self._loop = opened.enter_context(event_loop())
            connection = AsyncExitStack()
            opened.callback(self._close_within, connection)
            # Other versions are an error of ours, a moment later, and no warning.
            with settings_for_now({}):
                self._client: Client = self._do(self._connect(connection, address), 2 * _CONNECT_S)
            self._do(self._refuse_other_versions())
            self._opened = opened.pop_all()

    def begin(self, job: Job) -> None:
        """Send a job to one worker; it goes on to the others from there, and is sent anew when that worker is lost."""
        self._end_job()
        self._job_id = job.id
        # The warning is for people who put their data into tasks; this is the way to send it once.
        with settings_for_now({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            self._do(self._send_job(job.id, pickle.dumps(job)))

    def send(self, task: bytes) -> str:
        """Give a task to the scheduler and return its key there, which ends with the task's number."""
        self._sent += 1
        key = f"image_assets-{self._job_id}-{self._sent}"
        asyncio.run_coroutine_threadsafe(self._work(key, self._job, task), self._loop)
        return key

    def wait(self, tickets: Collection[Any]) -> Iterable[tuple[Any, Answer]]:
        """Return the answers that are in, at least one of them.

        Raises:
            EngineError: a task lost one worker after the other, there is no worker, the scheduler is gone, or a
                worker cannot do such tasks.
        """
        found: list[tuple[str, Answer]] = []
        looked_at = time.monotonic()
        while not found or not self._answers.empty():
            try:
                key, outcome = self._answers.get(timeout=_SLICE_S)
            except queue.Empty:
                if time.monotonic() > looked_at + _LOOK_EVERY_S:
                    self._refuse_no_worker()
                    looked_at = time.monotonic()
                continue
            # Else it is of an earlier job, which was dropped.
            if key in tickets:
                found.append((key, self._answer(key, outcome)))
        self._worker_seen_at = time.monotonic()
        return found

    def close(self) -> None:
        """Drop what is under way, end the children of the job at the workers, disconnect."""
        try:
            self._end_job()
        finally:
            self._opened.close()

    def _do(self, coroutine: Coroutine[Any, Any, Any], timeout_s: float = _ASK_S) -> Any:
        """Return what comes of something in the event loop.

        Raises:
            EngineError: nothing, in this time, or the connection broke.
        """
        doing = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return doing.result(timeout_s)
        except (OSError, *_DROPPED) as error:
            doing.cancel()
            raise EngineError(f"the Dask scheduler at {self._address} is gone: {_line(error)}; run again") from error

    async def _connect(self, connection: AsyncExitStack, address: str | None) -> "Client":
        from distributed import Client, __version__

        if address is None:
            address = await connection.enter_async_context(own_cluster(self.slots))
        try:
            options = {"asynchronous": True, "set_as_default": False, "timeout": _CONNECT_S}
            client = Client(address, name="image-assets", **options)
            connection.push_async_callback(client.close)
            await asyncio.wait_for(client, _CONNECT_S + _GRACE_S)
        except Exception as error:
            # Anything may answer at an address.
            said = _line(error.__cause__ or error)
            raise EngineError(
                f"no Dask scheduler at {address}: {said}; start one of distributed {__version__}, or set engine.address"
            ) from error
        return client

    async def _refuse_other_versions(self) -> None:
        found = await self._client.get_versions()
        ours = _versions(found["client"])
        others = [("scheduler", found["scheduler"]), *((f"worker {name}", of) for name, of in found["workers"].items())]
        for name, answer in others:
            if answer and (theirs := _versions(answer)) != ours:
                raise EngineError(f"the Dask {name} has {theirs}, this is {ours}; install the same in both places")

    async def _send_job(self, job_id: str, job: bytes) -> None:
        self._job = self._client.submit(bytes, job, key=f"image_assets_job-{job_id}", pure=False)

    async def _work(self, key: str, job: "Future | None", task: bytes) -> None:
        outcome: _Outcome
        try:
            asked = (self._function, job, task, installed_version())
            self._tasks[key] = self._client.submit(*asked, key=key, pure=False)
            outcome = await self._tasks[key]
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  who waits for it says what it means
            outcome = error
        if (done := self._tasks.pop(key, None)) is not None:
            done.release()
        self._answers.put((key, outcome))

    def _answer(self, key: str, outcome: _Outcome) -> Answer:
        from distributed import KilledWorker

        if isinstance(outcome, bytes):
            answer: Answer = pickle.loads(outcome)  # noqa: S301  our own workers made it
            return answer
        if isinstance(outcome, str):
            raise EngineError(outcome)
        if isinstance(outcome, KilledWorker):
            raise EngineError(
                f"task {key.rpartition('-')[2]} lost its Dask worker {outcome.allowed_failures + 1} times, the last at "
                f"{outcome.last_worker.address}; look at the logs of the workers and at the memory of their machines"
            ) from outcome
        if isinstance(outcome, _DROPPED):
            raise EngineError(f"the Dask scheduler at {self._address} is gone, or has dropped the tasks; run again")
        raise EngineError(f"a Dask worker failed: {outcome!r}") from outcome

    def _refuse_no_worker(self) -> None:
        """Accept that there is a worker, or that it is not long since there was one."""
        if self._do(self._workers()):
            self._worker_seen_at = time.monotonic()
        elif time.monotonic() > self._worker_seen_at + _NO_WORKER_S:
            raise EngineError(
                f"the Dask scheduler at {self._address} has had no worker for {_NO_WORKER_S:g} s; start one "
                f"(dask worker {self._address})"
            )

    async def _workers(self) -> int:
        return len(await self._client.nthreads())

    def _end_job(self) -> None:
        """Drop a job's tasks, and end its children where there may be some."""
        if self._job_id is not None:
            job_id, self._job_id = self._job_id, None
            # A cluster that is gone has nothing to end; children there end by themselves, without tasks.
            with suppress(EngineError):
                self._do(self._drop(job_id))

    async def _drop(self, job_id: str) -> None:
        if self._client.status == "running":
            await self._client.cancel(list(self._tasks.values()))
            await self._client.run(end_function(), job_id, on_error="ignore")

    def _close_within(self, connection: AsyncExitStack) -> None:
        with suppress(EngineError):
            self._do(connection.aclose())


def _line(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        # The first bytes of something else, taken for a length.
        return "what answers there is not a scheduler (its dashboard has another port)"
    # Dask names its own objects first.
    return str(error).partition("\n")[0].rpartition(">: ")[2] or "no answer"


def _versions(answer: dict[str, Any]) -> str:
    python = ".".join(str(answer["host"]["python"]).split(".")[:2])
    return ", ".join([f"Python {python}", *(f"{name} {answer['packages'][name]}" for name in _PACKAGES)])
