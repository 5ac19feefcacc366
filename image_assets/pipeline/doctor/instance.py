"""Dagster's instance and its daemon, asked in a process of their own: Dagster itself is not imported here."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from image_assets.core.words import duration
from image_assets.pipeline.doctor.finding import Finding

_TIMEOUT_S = 40.0
_ASK = """
import json, time
from dagster import DagsterInstance
from dagster._daemon.controller import get_daemon_statuses
with DagsterInstance.get() as instance:
    types = instance.get_required_daemon_types()
    found = get_daemon_statuses(instance, types, ignore_errors=True)
    beats = {s.daemon_type: s.last_heartbeat.timestamp if s.last_heartbeat else None for s in found.values()}
    healthy = {s.daemon_type: bool(s.healthy) for s in found.values()}
    storage = type(instance.event_log_storage).__name__
    print(json.dumps({"beats": beats, "healthy": healthy, "storage": storage, "now": time.time()}))
"""


def instance_findings() -> Iterator[Finding]:
    """Yield how Dagster's instance is, and whether its daemon lives."""
    home = os.environ.get("DAGSTER_HOME")
    if home is None:
        if Path("dagster.yaml").is_file():
            yield Finding(
                "dagster home", "ok", "DAGSTER_HOME is not set; `dagster dev` in this folder uses ./dagster.yaml"
            )
        else:
            remedy = "export DAGSTER_HOME=/a/folder with a dagster.yaml in it, or start where one is"
            found = "DAGSTER_HOME is not set, and there is no dagster.yaml here: `dagster dev` forgets its runs"
            yield Finding("dagster home", "warn", found, remedy)
            return
    # Path.is_dir raises where nobody may look.
    elif not Path(home).is_absolute() or not os.path.isdir(home):  # noqa: PTH112
        remedy = "set it to the absolute path of a folder that exists"
        yield Finding(
            "dagster home", "fail", f"DAGSTER_HOME is {home!r}, which is no folder that Dagster takes", remedy
        )
        return
    else:
        has = "with" if os.path.isfile(Path(home, "dagster.yaml")) else "without"  # noqa: PTH113  as above
        yield Finding("dagster home", "ok", f"DAGSTER_HOME is {home}, {has} a dagster.yaml")
    yield _daemon(home or str(Path.cwd()))


def _daemon(home: str) -> Finding:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASK],
            env={**os.environ, "DAGSTER_HOME": home}, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        remedy = "look whether its database answers (storage in dagster.yaml)"
        return Finding("dagster daemon", "fail", f"the instance did not answer within {_TIMEOUT_S:.0f} s", remedy)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        remedy = "correct dagster.yaml"
        if "Couldn't import module dagster_postgres" in done.stderr:
            remedy = "pip install 'image_assets[postgres]', or correct dagster.yaml"
        return Finding("dagster daemon", "fail", f"the instance cannot be opened: {said[:300]}", remedy)
    answer = json.loads(lines[-1])
    beats = [beat for beat in answer["beats"].values() if beat is not None]
    if not beats:
        remedy = "`dagster dev` starts one, or `dagster-daemon run` beside a webserver; sensors need it"
        return Finding("dagster daemon", "ok", f"none has run with this instance ({answer['storage']})", remedy)
    ago_s = answer["now"] - max(beats)
    if sick := sorted(name for name, healthy in answer["healthy"].items() if not healthy):
        which = "it is not running" if len(sick) == len(answer["healthy"]) else f"not alive: {', '.join(sick)}"
        found = f"{which}; the last heartbeat was {duration(ago_s)} ago"
        return Finding("dagster daemon", "warn", found, "start `dagster dev` or `dagster-daemon run`; sensors need it")
    return Finding("dagster daemon", "ok", f"alive, its last heartbeat was {duration(ago_s)} ago ({answer['storage']})")
