"""Measuring a tree of processes."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from image_assets_tests.benchmarks.peers.usage import RunCrashedError, RunFailedError, Usage, measure

BURN = """
import time
def burn(seconds):
    while time.process_time() < seconds: pass
"""


def test_an_orphan_is_counted_and_waited_for(tmp_path: Path) -> None:
    usage = measure_program(
        tmp_path,
        """
import os, sys
if os.fork() == 0:
    if os.fork() == 0:
        burn(0.3)
    os._exit(0)
os.wait()
""",
    )
    assert usage.cpu_s >= 0.3
    assert usage.left_over == 0


def test_children_whose_parent_ignores_their_end_are_counted(tmp_path: Path) -> None:
    usage = measure_program(
        tmp_path,
        """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    burn(0.5)
    time.sleep(1)
    os._exit(0)
try:
    os.wait()
except ChildProcessError:
    pass
""",
    )
    # Without samples it would be the parent's few milliseconds.
    # Clocks of processes count in steps.
    assert usage.cpu_s >= 0.4


def test_memory_of_a_child_is_in_the_peak(tmp_path: Path) -> None:
    usage = measure_program(
        tmp_path,
        """
import os
if os.fork() == 0:
    held = bytes(1) * 100_000_000
    time.sleep(1)
    os._exit(0)
os.wait()
""",
    )
    assert usage.peak_bytes >= 100_000_000


def test_a_failure_says_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="exit code 1: ValueError: no"):
        measure_program(tmp_path, "raise ValueError('no')")


def test_a_crash_is_told_from_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RunCrashedError, match="exit code -6"):
        measure_program(tmp_path, "import os; os.abort()")


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="longer than 1 s"):
        measure_program(
            tmp_path,
            """
import os
from pathlib import Path
child = os.fork()
if child == 0:
    Path("child").write_text(str(os.getpid()))
time.sleep(60)
""".replace('"child"', repr(str(tmp_path / "child"))),
            timeout_s=1,
        )
    assert not psutil.pid_exists(int((tmp_path / "child").read_text()))


def measure_program(folder: Path, program: str, timeout_s: float = 60) -> Usage:
    return measure([sys.executable, "-c", BURN + program], folder / "log", env=os.environ, timeout_s=timeout_s)
