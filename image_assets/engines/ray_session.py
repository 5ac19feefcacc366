"""One process's connection to Ray: to a cluster that runs, or to one that is started for it on this machine."""

import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from image_assets.core.errors import EngineError

_REACH_S = 10.0
_TRIES = 3
# The object store of a cluster that is started here: it holds functions and manifest rows, and no images.
_STORE_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Start:
    """What is connected to, and what a task asks for.

    Without an address a cluster of ``slots`` cores is started, whose files are in ``folder``. ``grow_s``: so long a
    cluster of which no machine is large enough for a task may take to get one.
    """

    address: str | None
    folder: str | None
    slots: int
    memory_bytes: int
    grow_s: float


def refuse_silence(address: str) -> None:
    """Accept an address that something listens at; the one that Ray finds by itself is left to it.

    Raises:
        EngineError: nobody does, or it is no address.
    """
    if address == "auto":
        return
    found = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = found.hostname, found.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or found.scheme not in {"", "ray"}:
        raise EngineError(f"{address!r} is no address of Ray; known forms: ray://head:10001, head:6379, auto")
    try:
        socket.create_connection((host, port), timeout=_REACH_S).close()
    except OSError as error:
        raise EngineError(
            f"no Ray cluster at {address}: {error.strerror or error}; start one (ray start --head), or set "
            "engine.address"
        ) from error


def connect(start: Start) -> None:
    """Connect this process.

    Raises:
        Exception: Ray has many; :func:`refusal` says what one means.
    """
    import ray

    if start.address is not None:
        _connect_to(start.address)
        return
    ray.init(
        "local",
        num_cpus=start.slots,
        num_gpus=0,
        object_store_memory=_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        _memory=start.slots * start.memory_bytes,
        _temp_dir=start.folder,
        _node_ip_address="127.0.0.1",
    )


def _connect_to(address: str) -> None:
    import ray

    for left in reversed(range(_TRIES)):
        try:
            ray.init(address, log_to_driver=False)
            return
        except ConnectionAbortedError:
            # The server that a head starts for each client dies at birth now and then (Ray 2.60).
            if not left:
                raise


def refusal(start: Start, error: Exception) -> str:
    """Return why Ray cannot be connected to, in a line."""
    if start.address == "auto" and isinstance(error, ConnectionError):
        return "none runs on this machine; start one (ray start --head), or set engine.address"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def end(start: Start) -> None:
    """End the connection of this process, and what was started for it."""
    import ray

    started = psutil.Process().children(recursive=True)
    ray.shutdown()
    if start.folder is not None:
        end_processes(started)
        shutil.rmtree(start.folder, ignore_errors=True)


def end_processes(processes: list[psutil.Process]) -> None:
    """Kill what is left of some processes and wait until they are gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)
