"""Dask in this very process: a cluster of threads, the event loop that it and its clients live in, and its log."""

import asyncio
import logging
import sys
import tempfile
import threading
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent import futures
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

# What does not end within this time ends with the process.
_END_S = 10.0
# Settings and warnings are those of the whole process: whoever changes them second must not restore them first.
_ONE_AT_A_TIME = threading.Lock()
_LOGGERS = ("distributed", "tornado")


@asynccontextmanager
async def own_cluster(threads: int) -> AsyncIterator[str]:
    """Yield the address of a scheduler with a worker, both in this process: the work is done in children of theirs.

    Worker processes would add nothing but time (1.3 s against 0.1 s for two) and memory (70 MB each), and would import
    the main module of whoever calls this.
    """
    import dask
    from distributed import Scheduler, Worker

    with tempfile.TemporaryDirectory(prefix="image-assets-dask-", ignore_cleanup_errors=True) as folder:
        # Both want to serve HTTP: with no pages, to this machine alone.
        options = {"protocol": "inproc://", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
        config = {
            "temporary-directory": folder,
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            "distributed.worker.profile.enabled": False,
        }
        try:
            async with AsyncExitStack() as opened:
                with dask.config.set(config):
                    scheduler = await opened.enter_async_context(Scheduler(port=0, **options))
                    worker = Worker(scheduler.address, nthreads=threads, memory_limit=0, **options)
                    await opened.enter_async_context(worker)
                yield scheduler.address
        finally:
            # Both put their folder into it, for modules that are sent to them.
            sys.path[:] = [place for place in sys.path if not place.startswith(folder)]


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Yield an event loop that runs in a thread of its own as long as the block lasts."""
    started: futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = futures.Future()

    async def live() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        # What goes wrong in the background is told by what is waited for.
        loop.set_exception_handler(lambda *_: None)
        started.set_result((loop, ended))
        await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="image-assets-dask", daemon=True)
    thread.start()
    loop, ended = started.result()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(_END_S)


@contextmanager
def settings_for_now(config: Mapping[str, Any]) -> Iterator[None]:
    """Let Dask have other settings and warn of nothing as long as the block lasts; one block at a time in a process."""
    import dask

    with _ONE_AT_A_TIME, warnings.catch_warnings(), dask.config.set(config):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Let Dask's own log handlers write nothing as long as the block lasts: what goes wrong becomes one error."""

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] not in _LOGGERS

    names = [name for name in list(logging.root.manager.loggerDict) if name.partition(".")[0] in _LOGGERS]
    handlers = {handler for name in names for handler in logging.getLogger(name).handlers}
    for handler in handlers:
        handler.addFilter(is_of_others)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_of_others)
