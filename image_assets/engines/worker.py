"""The other end of a local engine's socket: takes a function, then tasks, one at a time, until the parent is gone."""

import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from image_assets.core.errors import EngineError, ImageAssetsError
from image_assets.engines.limits import limit_memory, limit_processor_time
from image_assets.engines.pulse import Pulse


def serve(handle: int, beats: int, memory_bytes: int, item_s: float) -> None:
    """Serve tasks from a socket until it closes.

    Args:
        handle: file descriptor of the socket.
        beats: file descriptor of the file that beats are left in.
        memory_bytes: what work may take beyond what the process holds when it gets its function.
        item_s: processor seconds that one item may take.
    """
    connection = Connection(handle)
    pulse = Pulse.attach(beats)

    def beat(position: int) -> None:
        limit_processor_time(item_s)
        pulse.beat(position)

    function: Callable[[Any, Callable[[int], None]], Any] = _no_function
    while True:
        try:
            kind, value = connection.recv()
        except (EOFError, OSError):
            return
        if kind == "function":
            function = value
            limit_memory(memory_bytes)
            continue
        beat(0)
        try:
            answer = ("result", function(value, beat))
        except ImageAssetsError as error:
            answer = ("error", error)
        except Exception as error:  # noqa: BLE001  the parent raises it: a defect must not look like a bad image
            answer = ("error", EngineError(f"a worker failed: {error!r}\n{traceback.format_exc()}"))
        connection.send(answer)


def _no_function(*_: object) -> None:
    raise EngineError("a task came before its function")
