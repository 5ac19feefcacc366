"""What a command and everything it starts use: wall seconds, CPU seconds, peak memory."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
_SAMPLE_S = 0.1
_SAMPLER_SHARE = 0.02  # of one core at most
_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run used, of all its processes together."""

    exit_code: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    left_over: int  # processes that had to be killed, as they went on when the command had ended


class RunFailedError(RuntimeError):
    """A measured command did not end well; says how."""


class RunCrashedError(RunFailedError):
    """It was ended by a signal that we did not send."""


def measure(command: list[str], log: Path, *, env: Mapping[str, str], timeout_s: float = 900) -> Usage:
    """Run a command to its end, output into ``log``, and return what it used; no process of it is left.

    The command runs below a supervisor of its own, to which the kernel hands every orphan of the tree.

    Raises:
        RunCrashedError: the command was ended by a signal.
        RunFailedError: it failed, or took longer than ``timeout_s``.
    """
    report = log.with_suffix(".usage.json")
    supervisor = [sys.executable, "-m", __name__, str(report), str(timeout_s), *command]
    with log.open("wb") as output:
        # In a session of its own: an interrupt ends us first, and we end it below.
        process = subprocess.Popen(supervisor, stdout=output, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        try:
            process.wait()
        finally:
            process.terminate()
            process.wait()
    usage = Usage(**json.loads(report.read_text()))
    if usage.exit_code:
        last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1][:300]
        if usage.wall_s >= timeout_s:
            raise RunFailedError(f"took longer than {timeout_s:.0f} s: {last}")
        kind = RunCrashedError if usage.exit_code < 0 else RunFailedError
        raise kind(f"exit code {usage.exit_code}: {last}")
    return usage


def supervise(command: list[str], timeout_s: float) -> Usage:
    """Run a command as the parent of all its orphans.

    CPU seconds are what the kernel reports of each process at its end, with the children it waited for. A process that
    ignores its children's end (Ray's raylet does) loses theirs, so the last sample of every process is summed as well:
    the larger sum counts.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)
    started_at = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ, setsid=True)
    sampler = _Sampler()
    sampler.start()
    timer = threading.Timer(timeout_s, os.kill, (child, signal.SIGKILL))
    timer.start()
    grace_s = 0.0
    try:
        _, status, used = os.wait4(child, 0)
        wall_s = time.perf_counter() - started_at
        grace_s = _GRACE_S if wall_s < timeout_s else 0.0
    finally:
        timer.cancel()
        orphans_cpu_s, left_over = _end_orphans(grace_s)
        sampler.stop()
    cpu_s = max(used.ru_utime + used.ru_stime + orphans_cpu_s, sampler.cpu_s())
    return Usage(os.waitstatus_to_exitcode(status), wall_s, cpu_s, sampler.peak_bytes, left_over)


class _Sampler(threading.Thread):
    """Looks at every process of the tree, often, yet never for more than its share of a core."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._cpu_s: dict[tuple[int, float], float] = {}
        self._stopped = threading.Event()

    def run(self) -> None:
        pause_s = 0.0
        while not self._stopped.wait(pause_s):
            started_at = time.thread_time()
            processes = psutil.Process().children(recursive=True)
            self.peak_bytes = max(self.peak_bytes, sum(map(self._look, processes)))
            pause_s = max(_SAMPLE_S, (time.thread_time() - started_at) / _SAMPLER_SHARE)

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def cpu_s(self) -> float:
        return sum(self._cpu_s.values())

    def _look(self, process: psutil.Process) -> int:
        """Return the proportional set size in bytes; 0 of a process that has just ended."""
        try:
            times = process.cpu_times()
            self._cpu_s[process.pid, process.create_time()] = times.user + times.system
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return 0
        return sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def _end_orphans(grace_s: float) -> tuple[float, int]:
    """Wait for the orphans, killing those that do not end; return their CPU seconds and how many had to be killed."""
    deadline = time.monotonic() + grace_s
    cpu_s, killed = 0.0, set[int]()
    while True:
        try:
            pid, _, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu_s, len(killed)
        cpu_s += used.ru_utime + used.ru_stime
        if pid:
            continue
        if time.monotonic() > deadline:
            for process in psutil.Process().children(recursive=True):
                killed.add(process.pid)
                process.kill()
        time.sleep(0.02)


if __name__ == "__main__":
    _report, _timeout_s, *_command = sys.argv[1:]
    Path(_report).write_text(json.dumps(asdict(supervise(_command, float(_timeout_s)))))
