"""The command line tool with worker processes, killed at random but seeded moments: nothing is lost, nobody stays."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml

from image_assets.pipeline.run import run_dataset
from image_assets_tests.faults.histories import OPTIONS
from image_assets_tests.faults.judging import assert_equals_scratch, assert_whole
from image_assets_tests.images import image_bytes, make_settings_for

# More than a run of these takes on a slow machine; nothing waits that long when all is well.
PATIENCE_S = 60.0
IMAGES = 300


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Images enough for some tasks, the settings file of a dataset over them, and what a run makes of it."""
    folder = tmp_path_factory.mktemp("killed-workers")
    for number in range(IMAGES):
        path = folder / "raw" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(number, size=(800, 600)))
    (folder / "raw/a/corrupt.jpg").write_bytes(image_bytes(0)[:200])
    scratch = make_settings_for(folder, store="scratch", **OPTIONS)
    run_dataset(scratch)
    return folder, scratch


def start(folder, settings):
    """Start the tool in a session of its own."""
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_none=True)))
    command = [sys.executable, "-m", "image_assets", "run", "--json", "--config", str(config)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    (folder / "tmp").mkdir()
    env = {**os.environ, "TMPDIR": str(folder / "tmp")}
    return subprocess.Popen(command, start_new_session=True, env=env, **quiet)


def wait_for_workers(process):
    """Return the worker processes once both are there, or none when the run ended before."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if len(workers := psutil.Process(process.pid).children(recursive=True)) >= 2:
            return workers
        time.sleep(0.005)
    return []


@pytest.mark.parametrize("whom", ["main process", "group"])
@pytest.mark.parametrize("seed", range(1))
def test_a_run_after_a_killed_one_with_workers_is_right(whom, seed, source, tmp_path):
    folder, scratch = source
    settings = make_settings_for(folder, store=str(tmp_path / "store"), workers=2, **OPTIONS)
    process = start(tmp_path, settings)
    workers = wait_for_workers(process)
    assert workers, "the run ended before it had workers"
    time.sleep(random.Random(f"{whom} {seed}").uniform(0.0, 1.2))
    if whom == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait(PATIENCE_S)
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
    assert alive == []
    assert_whole(tmp_path / "store")
    # Without workers, since the recipe is the same and it starts faster.
    report = run_dataset(settings.model_copy(update={"workers": 0}))
    assert report.counts.wanted == IMAGES + 1
    assert_whole(tmp_path / "store")
    assert_equals_scratch(settings, scratch)
