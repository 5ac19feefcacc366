"""A cluster in threads of this process, which may lose the answer of a task and have it done once more."""

from collections.abc import Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from image_assets.engines import node
from image_assets.engines.cluster import ClusterEngine
from image_assets.engines.node import Answer, Job


class RepeatingCluster:
    """Does each task ``times`` times, as clusters do when a worker is lost at the last moment, and takes the last."""

    def __init__(self, slots: int, times: int = 1) -> None:
        self.slots = slots
        self._times = times
        self._threads = ThreadPoolExecutor(slots)
        self._jobs: list[Job] = []

    def begin(self, job: Job) -> None:
        self._jobs.append(job)

    def send(self, task: bytes) -> Future[Answer]:
        return self._threads.submit(self._work, self._jobs[-1], task)

    def wait(self, tickets: Collection[Any]) -> Iterable[tuple[Any, Answer]]:
        done, _ = wait(tickets, return_when=FIRST_COMPLETED)
        return [(ticket, ticket.result()) for ticket in done]

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        for job in self._jobs:
            node.end(job.id)

    def _work(self, job: Job, task: bytes) -> Answer:
        return [node.work(job, task) for _ in range(self._times)][-1]


def repeating_engine(slots: int, times: int = 1) -> ClusterEngine:
    """Return an engine over such a cluster."""
    return ClusterEngine("repeating", lambda: RepeatingCluster(slots, times), item_timeout_s=30, memory_bytes=2**29)
