"""Functions for engine tests: they must be importable from a worker process."""

import os
import signal
import sys
import time

from image_assets.core.errors import StoreError
from image_assets.engines.base import Beat


def double(task: list[int], beat: Beat) -> list[int]:
    return [2 * number for number in task]


def negate(task: list[int], beat: Beat) -> list[int]:
    return [-number for number in task]


class Heavy:
    """A function that holds so many bytes; it says how many arrived."""

    def __init__(self, size_bytes: int) -> None:
        self._held = bytes(size_bytes)

    def __call__(self, task: list[int], beat: Beat) -> int:
        return len(self._held)


def die_on_13(task: list[int], beat: Beat) -> list[int]:
    for position, number in enumerate(task):
        beat(position)
        if number == 13:
            print("last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    return task


def sleep_on_13(task: list[int], beat: Beat) -> list[int]:
    for position, number in enumerate(task):
        beat(position)
        time.sleep(60 if number == 13 else 0)
    return task


def find_a_full_disk(task: list[int], beat: Beat) -> list[int]:
    raise StoreError("no space left")


def sleep_on_13_and_find_a_full_disk(task: list[int], beat: Beat) -> list[int]:
    sleep_on_13(task, beat)
    return find_a_full_disk(task, beat)


def divide_by_zero(task: list[int], beat: Beat) -> list[float]:
    return [1 / 0]


def kill_the_parent_on_13(task: list[int], beat: Beat) -> list[int]:
    """Kill the process of the cluster that this one is a child of."""
    if 13 in task:
        os.kill(os.getppid(), signal.SIGKILL)
    return task


def own_process(task: list[int], beat: Beat) -> int:
    time.sleep(0.2)
    return os.getpid()


def compute_on_13(task: list[int], beat: Beat) -> list[int]:
    for position, number in enumerate(task):
        beat(position)
        until = time.process_time() + (60 if number == 13 else 0)
        while time.process_time() < until:
            pass
    return task


def eat_memory(task: list[int], beat: Beat) -> list[str]:
    """Take so many MiB each, and say whether they were given."""
    said = []
    for position, mebibytes in enumerate(task):
        beat(position)
        try:
            said.append(f"{len(bytearray(b'x') * (mebibytes * 2**20)) // 2**20} taken")
        except MemoryError:
            said.append("refused")
    return said
