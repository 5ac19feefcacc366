"""What files of labelling platforms cost: writing and reading so many tasks, each with a class, a box and a mask.

    python -m image_assets_tests.benchmarks.labelling --tasks 1000000 --platforms label-studio cvat

Without images and without a dataset: the formats alone, which an import reads twice. Each step is a process of its own.
"""

import argparse
import hashlib
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from image_assets.core.annotations import Annotation
from image_assets.core.geometry import Box
from image_assets.core.masks import mask_from_bits
from image_assets.labelling import PLATFORMS, find_platform
from image_assets.labelling.base import Project, Task
from image_assets_tests.benchmarks.processes import measure_module

_MODULE = "image_assets_tests.benchmarks.labelling"
_SIDE_PX = 224


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=list(_STEPS))
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--platforms", nargs="+", choices=sorted(PLATFORMS), default=sorted(PLATFORMS))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.step is not None:
        print(json.dumps(_measured(_STEPS[given.step], given.platforms[0], given.folder, given.tasks)))
        return
    for name in given.platforms:
        with tempfile.TemporaryDirectory() as folder:
            for step in _STEPS:
                arguments = ("--tasks", str(given.tasks), "--platforms", name, "--folder", folder)
                said = measure_module(_MODULE, step, *arguments).printed
                print(
                    f"{name:<14}{step:<6}{said['tasks']:>9} tasks{said['mb']:>7.0f} MB file{said['s']:>8.1f} s"
                    f"{said['cpu_s']:>8.1f} CPU s   peak {said['peak_mb']:.0f} MB ({said['before_mb']:.0f} before)",
                    flush=True,
                )


def _write(name: str, folder: Path, count: int) -> int:
    find_platform(name).write(_tasks(count), folder, Project("p", ("cat",), count))
    return count


def _read(name: str, folder: Path, count: int) -> int:
    platform = find_platform(name)
    with tempfile.TemporaryDirectory() as scratch:
        return sum(isinstance(each, Task) for each in platform.read(folder / platform.file_name, Path(scratch), "p"))


_STEPS: dict[str, Callable[[str, Path, int], int]] = {"write": _write, "read": _read}


def _tasks(count: int) -> Iterator[Task]:
    bits = np.zeros((_SIDE_PX, _SIDE_PX), bool)
    bits[60:120, 50:150] = True
    said = (
        Annotation("cat"),
        Annotation("cat", Box(10.5, 20.25, 100.0, 180.0)),
        Annotation("cat", mask_from_bits(bits)),
    )
    for number in range(count):
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        yield Task(sha256, "0" * 16, _SIDE_PX, _SIDE_PX, said, True, place=number)


def _measured(step: Callable[[str, Path, int], int], name: str, folder: Path, count: int) -> dict[str, float]:
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = time.perf_counter(), time.process_time()
    tasks = step(name, folder, count)
    return {
        "tasks": tasks,
        "s": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
        "before_mb": before_mb,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "mb": (folder / find_platform(name).file_name).stat().st_size / 1e6,
    }


if __name__ == "__main__":
    main()
