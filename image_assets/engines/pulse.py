"""What a worker is on and since when: a few bytes of memory that it shares with its parent.

A message for each image would wake the parent a thousand times a second; memory costs nothing, and outlives the worker.
"""

import mmap
import struct
import tempfile
import time
from typing import IO

_LAYOUT = struct.Struct("<qd")


class Pulse:
    """The position of an item and the monotonic time at which work on it began; 0.0 before the first."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    @classmethod
    def create(cls) -> tuple["Pulse", IO[bytes]]:
        """Return a new pulse and the file that another process attaches to."""
        file = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it when the worker has it
        file.truncate(_LAYOUT.size)
        return cls(mmap.mmap(file.fileno(), _LAYOUT.size)), file

    @classmethod
    def attach(cls, handle: int) -> "Pulse":
        """Return the pulse in the file with this descriptor."""
        return cls(mmap.mmap(handle, _LAYOUT.size))

    def beat(self, position: int) -> None:
        """Note that work on an item begins now."""
        _LAYOUT.pack_into(self._memory, 0, position, time.monotonic())

    def read(self) -> tuple[int, float]:
        """Return the last beat: position, monotonic seconds (one clock for all processes of a machine)."""
        position, beat_at = _LAYOUT.unpack_from(self._memory)
        return position, beat_at
