"""One engine, or its bare framework, in a process of its own; prints one JSON object.

``python -m image_assets_tests.benchmarks.engine_step engine|bare KIND WORKERS TASKS [ADDRESS]``
"""

import json
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from pathlib import Path

from image_assets.engines import ENGINES
from image_assets_tests.engines import work
from image_assets_tests.images import make_settings_for

# What does so many empty tasks.
Doing = Callable[[int], None]


def main() -> None:
    what, kind, workers, tasks, *address = sys.argv[1:]
    started_at = time.perf_counter()
    opened = engine(kind, int(workers), *address) if what == "engine" else BARE[kind](int(workers), *address)
    with opened as do:
        do(1)
        first_s = time.perf_counter() - started_at
        # All workers are there, and what they import.
        do(4 * int(workers))
        started_at = time.perf_counter()
        do(int(tasks))
        tasks_s = time.perf_counter() - started_at
        started_at = time.perf_counter()
    print(json.dumps({"first_s": first_s, "tasks_s": tasks_s, "end_s": time.perf_counter() - started_at}))


@contextmanager
def engine(kind: str, workers: int, address: str | None = None) -> Iterator[Doing]:
    """Yield one of ours."""
    with tempfile.TemporaryDirectory() as folder:
        settings = make_settings_for(Path(folder), workers=workers, engine={"kind": kind, "address": address})
        with ENGINES[kind](settings) as opened:
            yield lambda tasks: drain(opened.map(work.double, ([number] for number in range(tasks))))


@contextmanager
def bare_loop(workers: int) -> Iterator[Doing]:
    """Yield a loop that calls a function."""
    yield lambda tasks: drain(map(abs, range(tasks)))


@contextmanager
def bare_processes(workers: int) -> Iterator[Doing]:
    """Yield the standard library's pool of processes."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield lambda tasks: drain(pool.map(abs, range(tasks)))


@contextmanager
def bare_dask(workers: int, address: str | None = None) -> Iterator[Doing]:
    """Yield ``client.map``, of a cluster of processes unless there is one."""
    from distributed import Client, LocalCluster

    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) if address is None else unopened(address) as place, Client(place) as client:
        yield lambda tasks: drain(client.gather(client.map(abs, range(tasks), pure=False)))


@contextmanager
def bare_ray(workers: int, address: str | None = None) -> Iterator[Doing]:
    """Yield remote functions."""
    import ray

    options = {"num_cpus": workers, "include_dashboard": False} if address is None else {"address": address}
    ray.init(**options, logging_level="ERROR", log_to_driver=False)
    empty = ray.remote(lambda number: number)
    yield lambda tasks: drain(ray.get([empty.remote(number) for number in range(tasks)]))
    ray.shutdown()


@contextmanager
def bare_spark(workers: int, address: str | None = None) -> Iterator[Doing]:
    """Yield a job with a partition for each task."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(address or f"local[{workers}]").config("spark.ui.enabled", "false")
    session = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield lambda tasks: drain(session.sparkContext.parallelize(range(tasks), tasks).map(abs).collect())
    session.stop()


BARE: dict[str, Callable[..., AbstractContextManager[Doing]]] = {
    "inline": bare_loop,
    "local": bare_processes,
    "dask": bare_dask,
    "ray": bare_ray,
    "spark": bare_spark,
}


@contextmanager
def unopened(address: str) -> Iterator[str]:
    """Yield an address as it is."""
    yield address


def drain(results) -> None:
    """Take all results and keep none."""
    deque(results, maxlen=0)


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    main()
