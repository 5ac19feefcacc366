"""A process that has imported everything and started nothing: it forks a child for each job, in milliseconds."""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import IO, Any

from image_assets_tests.faults.jobs import Job, Result
from image_assets_tests.faults.shim import Shim

_SAID = "said.json"
# From linux/capability.h.
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2


class Zygote:
    """The near end: start it once, give it jobs."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", "from image_assets_tests.faults.zygote import serve; serve()"]
        # A library that started threads while it was imported would leave its locks held in the children.
        threads = {
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "JE_ARROW_MALLOC_CONF": "background_thread:false",
        }
        env = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(self, *jobs: Job) -> list[Result]:
        """Run jobs at the same time, wait for all of them, and return what became of each."""
        for job in jobs:
            job.temporary.mkdir(parents=True)
        _say(self._process.stdin, [job.to_json() for job in jobs])
        answer = self._process.stdout.readline() if self._process.stdout is not None else ""
        assert answer, f"the zygote ended with {self._process.wait()}"
        return [Result.read(job.folder, signal) for job, signal in zip(jobs, json.loads(answer), strict=True)]

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        assert self._process.wait(timeout=60) == 0


def serve() -> None:
    """The far end: fork the jobs of each line of stdin, and answer with the signals that ended them."""
    _import_everything()
    threads = os.listdir("/proc/self/task")  # noqa: PTH208
    assert len(threads) == 1, f"{len(threads)} threads would leave their locks in every child"
    answers = os.fdopen(os.dup(1), "w")
    # A child that prints must not be taken for an answer.
    os.dup2(2, 1)
    for line in sys.stdin:
        children = [_fork(job) for job in map(Job.from_json, json.loads(line))]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        _say(answers, [max(0, -code) for code in codes])


def _import_everything() -> None:
    """Import what a run imports on the way, too: a child would do it each time."""
    import image_assets.engines.inline
    import image_assets.features.colour_moments
    import image_assets.pipeline.logs
    import image_assets.pipeline.run  # noqa: F401


def _fork(job: Job) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _live(job)
    except BaseException:  # noqa: BLE001  nothing of a child may run on in the zygote's loop
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _live(job: Job) -> None:
    from image_assets.pipeline.logs import pipeline_log
    from image_assets.pipeline.run import run_dataset, update_shards

    tempfile.tempdir = str(job.temporary)
    os.environ.update(job.environment)
    # Where the log goes when the store is no folder.
    os.chdir(job.folder)
    shim = Shim([Path(job.settings.store), job.temporary], job.fault)
    _count_renders(job.folder / "rendered")
    if job.obey_modes and os.getuid() == 0:
        _obey_modes()
    if job.watch:
        shim.install()
    time.sleep(job.delay_s)
    said: dict[str, Any] = {"error": None, "text": "", "traceback": ""}
    try:
        with pipeline_log(job.settings):
            if job.shards:
                update_shards(job.settings, job.shards)
            else:
                run_dataset(job.settings)
    except Exception as error:  # noqa: BLE001  whatever it is, the test judges it
        said = {"error": type(error).__name__, "text": str(error), "traceback": traceback.format_exc()}
    said["points"] = [astuple(point) for point in shim.points]
    (job.folder / _SAID).write_text(json.dumps(said))


def _count_renders(path: Path) -> None:
    """Leave a byte in a file for each image that is decoded, so that a killed child's count is known."""
    from image_assets.transforms.chain import Renderer

    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    render, write = Renderer.render, os.write

    def counted(self: Renderer, data: bytes, sha256: str) -> Any:
        write(handle, b".")
        return render(self, data, sha256)

    Renderer.render = counted  # type: ignore[method-assign]


def _obey_modes() -> None:
    """Give up the capabilities that let a superuser pass by file modes: to override them, and to read and search."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable bits, twice: of the first 32 capabilities, and of the others.
    sets = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    sets[0] &= ~(_DAC_OVERRIDE | _DAC_READ_SEARCH) & 0xFFFFFFFF
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


def _say(stream: IO[str] | None, what: Sequence[Any]) -> None:
    assert stream is not None
    stream.write(json.dumps(what) + "\n")
    stream.flush()
