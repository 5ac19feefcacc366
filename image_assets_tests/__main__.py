"""The test command: lint, types, import contracts, tests; the same for a person and for CI."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
STEPS = {
    "lint": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "types": ["-m", "mypy"],
    "imports": ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
    # One more than CI has cores: some tests wait for daemons, servers and timeouts.
    "tests": ["-m", "pytest", "-n", "3", "--dist", "worksteal"],
}


def main() -> int:
    """Run every step, also after one that failed; further arguments go to pytest. Return 0 when all passed."""
    failed = []
    # The tests start hundreds of processes, and each would compile all modules where a machine forbids to keep them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for name, command in STEPS.items():
        extra = sys.argv[1:] if name == "tests" else []
        started_at = time.monotonic()
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, *command, *extra], cwd=ROOT, env=environment, check=False).returncode:
            failed.append(name)
        print(f"== {name}: {time.monotonic() - started_at:.0f} s", flush=True)
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
