"""The other end of a local engine's socket: takes a function, then tasks, one at a time, until the parent is gone."""

import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from image_assets.core.errors import EngineError, ImageAssetsError
from image_assets.engines.pulse import Pulse


def serve(handle: int, beats: int) -> None:
    """Serve tasks from the socket with this file descriptor until it closes; leave beats in the file with the other."""
    connection = Connection(handle)
    beat = Pulse.attach(beats).beat
    function: Callable[[Any, Callable[[int], None]], Any] = _no_function
    while True:
        try:
            kind, value = connection.recv()
        except (EOFError, OSError):
            return
        if kind == "function":
            function = value
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
