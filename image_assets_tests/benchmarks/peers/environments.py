"""Each peer's own virtual environment, made once and kept in the cache folder."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from image_assets_tests.benchmarks.files import CACHE

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = CACHE / "peers"


class InstallFailedError(RuntimeError):
    """A peer's packages could not be installed; says what pip said."""


def make_environment(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of a virtual environment that holds ``requirements``.

    Raises:
        InstallFailedError: pip could not install them.
    """
    folder = ENVIRONMENTS / name
    python, marker = folder / "bin" / "python", folder / "installed.json"
    wanted = json.dumps(list(requirements))
    if marker.exists() and marker.read_text() == wanted:
        return python
    print(f"installing {', '.join(requirements)}", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, symlinks=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    done = subprocess.run(install, check=False, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise InstallFailedError((errors or ["pip failed"])[-1][:300])
    marker.write_text(wanted)
    return python


def installed_version(python: Path, package: str) -> str:
    """Return the version of an installed package.

    Raises:
        CalledProcessError: it is not installed.
    """
    program = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    done = subprocess.run([str(python), "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def variables(python: Path, temp: Path, cache: Path) -> dict[str, str]:
    """Return the environment variables of a run: temp files and caches go where they are told, no peer calls home."""
    own = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(temp),
        "HF_HOME": str(cache),
        "HF_HUB_OFFLINE": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # or it leaves a token in the home folder
        "DO_NOT_TRACK": "1",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "DATACHAIN_ROOT_DIR": str(cache / "datachain"),
        "DATACHAIN_IGNORE_CHECKPOINTS": "1",
        "DATACHAIN_NO_ANALYTICS": "1",
        "FIFTYONE_DATABASE_DIR": str(cache / "fiftyone"),
        "FIFTYONE_DO_NOT_TRACK": "true",
        "ZENML_CONFIG_PATH": str(cache / "zenml"),
        "ZENML_ANALYTICS_OPT_IN": "false",
    }
    return {**os.environ, **own}
