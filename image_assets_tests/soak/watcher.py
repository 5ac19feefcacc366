"""Kills what is left of a deployment when the program that started it is gone, however it went.

``python -m image_assets_tests.soak.watcher MARK`` waits until its standard input ends, which the kernel sees to.
"""

import os
import signal
import sys
import time

import psutil

# In the environment of everything that is started, so that what is left over can be found.
MARK = "IMAGE_ASSETS_TEST_PROJECT"
_TIMEOUT_S = 30.0


def main() -> None:
    """Wait, then kill until nothing is left."""
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill_marked(sys.argv[1])


def kill_marked(mark: str) -> list[str]:
    """Kill every process of a deployment, however often new ones start; return what they were."""
    killed: dict[int, str] = {}
    deadline = time.monotonic() + _TIMEOUT_S
    while (left := marked_processes(mark)) and time.monotonic() < deadline:
        for process in left:
            killed[process.pid] = " ".join(command_of(process))
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=1)
    return [f"{pid}: {command}" for pid, command in killed.items()]


def marked_processes(mark: str) -> list[psutil.Process]:
    """Return every process of a deployment, wherever it hangs in the tree."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark and is_alive(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process is there and more than its entry in the table."""
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> list[str]:
    """Return a process's command line."""
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ["(ended)"]


if __name__ == "__main__":
    main()
