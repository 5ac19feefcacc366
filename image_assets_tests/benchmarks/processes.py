"""What a benchmark measures: child processes, their wall time, their processor time and what they print."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """One child process that ended well; ``printed`` is the JSON object on its standard output."""

    wall_s: float
    cpu_s: float  # of itself and of every process that it waited for
    printed: dict[str, Any]


def measure_module(module: str, *arguments: str) -> Measured:
    """Run ``python -m module`` and return what it cost.

    Raises:
        CalledProcessError: it ended with another code than 0.
    """
    command = [sys.executable, "-m", module, *arguments]
    started_at = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert child.stdout is not None
        with child.stdout:
            printed = child.stdout.read()
        # Popen.wait reaps the child without saying what it used.
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - started_at
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            failed = subprocess.CalledProcessError(child.returncode, command, printed)
            failed.add_note(errors.read().decode(errors="replace"))
            raise failed
    return Measured(wall_s, usage.ru_utime + usage.ru_stime, json.loads(printed))


def measure_run(folder: Path, *, workers: int, store: str | None = None) -> Measured:
    """Return what ``image-assets run`` without features costs and says; without a store, from scratch.

    Raises:
        CalledProcessError: the run failed.
    """
    if store is None:
        with tempfile.TemporaryDirectory() as fresh:
            return measure_run(folder, workers=workers, store=fresh)
    return measure_module(
        "image_assets", "run", "--input", str(folder), "--store", store, "--json",
        "--workers", str(workers), "--features", "none",
    )  # fmt: skip


def print_line(what: str, value: float, unit: str, note: str) -> None:
    """Print one row of a benchmark's report."""
    print(f"{what:<58}{value:>9.2f} {unit:<5} {note}", flush=True)
