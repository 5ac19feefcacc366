"""The test command: lint, types, import contracts, tests; the same for a person and for CI."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
STEPS = {
    "lint": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "imports": ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
    # One more than CI has cores: some tests wait for daemons, servers and timeouts.
    "tests": ["-m", "pytest", "-n", "3", "--dist", "worksteal"],
}
# Takes most of a minute of one core the first time: made beside the others and shown after them.
TYPES = ["-m", "mypy"]


# Where files are memory: the tests write tens of thousands, each of which has to reach the disk before it counts.
MEMORY = Path("/dev/shm")
_LEAST_BYTES = 4 * 2**30


def main() -> int:
    """Run every step, also after one that failed; further arguments go to pytest. Return 0 when all passed."""
    failed = []
    # The tests start hundreds of processes, and each would compile all modules where a machine forbids to keep them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with temporary_folder() as folder:
        environment |= {"TMPDIR": folder} if folder else {}
        types = subprocess.Popen(
            [sys.executable, *TYPES],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for name, command in STEPS.items():
            extra = sys.argv[1:] if name == "tests" else []
            started_at = time.monotonic()
            print(f"== {name}", flush=True)
            if subprocess.run([sys.executable, *command, *extra], cwd=ROOT, env=environment, check=False).returncode:
                failed.append(name)
            print(f"== {name}: {time.monotonic() - started_at:.0f} s", flush=True)
        print(f"== types\n{types.communicate()[0]}", end="", flush=True)
        if types.returncode:
            failed.append("types")
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


@contextmanager
def temporary_folder() -> Iterator[str | None]:
    """Yield a temporary folder in memory, None where there is no room for it or the user has named another."""
    room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= _LEAST_BYTES
    if not room or "TMPDIR" in os.environ:
        yield None
        return
    # A short name: sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="ia-", dir=MEMORY, ignore_cleanup_errors=True) as folder:
        yield folder


if __name__ == "__main__":
    sys.exit(main())
