"""What a worker may take for one item: memory and processor time, held by the kernel."""

import math
import resource
from contextlib import suppress
from pathlib import Path


def limit_memory(more_bytes: int) -> None:
    """Let this process take so many bytes more than it has now; beyond that allocation fails.

    Counted is memory that only this process writes to (RLIMIT_DATA), so that what is merely mapped or reserved, as
    Arrow and thread stacks do, does not matter. Systems without that count are left without a limit.
    """
    held = _private_bytes()
    if held is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = held + more_bytes
    # The hard limit stays, so that a later function may have another one.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))


def limit_processor_time(more_s: float) -> None:
    """Let this process compute for so many seconds more; beyond that it is ended by SIGXCPU.

    It holds also when the parent, which stops what takes too long by the clock, is gone or stuck.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    wanted = math.ceil(used.ru_utime + used.ru_stime + more_s)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard < 0 else min(wanted, hard), hard))


def _private_bytes() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), None)
