"""YAML on a page: whole settings files, sections of one, and other programs' files."""

import importlib
import re
from pathlib import Path
from typing import Any

import yaml

from image_assets.settings import Settings, load_settings, make_settings

# Top-level names by which other programs' files are known. They are parsed here; those of the deployment have tests.
OTHERS = {
    "Compose": {"services"},
    "Kubernetes": {"apiVersion"},
    "Helm": {"dagster-user-deployments", "dagsterWebserver", "dagsterDaemon", "runLauncher"},
    "Dagster's workspace": {"load_from"},
    "Dagster's instance": {
        "run_launcher",
        "run_queue",
        "run_monitoring",
        "run_retries",
        "concurrency",
        "telemetry",
        "retention",
    },
    "Prometheus": {"scrape_configs", "groups"},
    "OpenTelemetry": {"receivers"},
    "GitHub": {"jobs"},
}
_MINIMAL = {"name": "page", "source": {"path": "~/photos"}, "store": "store"}
_TOP = re.compile(r"([A-Za-z_][\w-]*):")


def check_yaml(text: str, path: Path | None) -> None:
    """Compare a block with the settings there are.

    Args:
        path: where it was written, if it is a file.

    Raises:
        AssertionError: it is nothing that is known here.
        ConfigError: a setting is unknown or wrong.
    """
    for part in alternatives(text):
        _check_one(part, path)


def alternatives(text: str) -> list[str]:
    """Return a block cut before each top-level name that comes again: of such lines a reader takes one."""
    parts: list[list[str]] = [[]]
    seen: set[str] = set()
    for line in text.splitlines():
        found = _TOP.match(line)
        if found and found[1] in seen:
            parts.append([])
            seen = set()
        if found:
            seen.add(found[1])
        parts[-1].append(line)
    return ["\n".join(lines) + "\n" for lines in parts]


def _check_one(text: str, path: Path | None) -> None:
    content: dict[str, Any] = yaml.safe_load(text)
    assert isinstance(content, dict), "a block of YAML is a mapping"
    known = {*Settings.model_fields, "preset"}
    if content.keys() <= known:
        if {"name", "source", "store"} <= content.keys():
            load_settings(path) if path is not None else make_settings(content, base=Path.cwd())
        else:
            make_settings(_MINIMAL, base=Path.cwd(), overrides=content)
    elif str(content.get("type", "")).startswith("image_assets."):
        module, _, name = content["type"].rpartition(".")
        assert hasattr(importlib.import_module(module), name), f"there is no {content['type']}"
    else:
        found = [program for program, names in OTHERS.items() if names & content.keys()]
        assert found, f"no setting, and of no program that is known here: {', '.join(sorted(content.keys() - known))}"
