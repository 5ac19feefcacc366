"""What each engine costs beside the work itself: ``python -m image_assets_tests.benchmarks.engines``."""

import argparse
import importlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from image_assets_tests.benchmarks.files import SAMPLE_PHOTOS, imagenet_like
from image_assets_tests.benchmarks.processes import Measured, measure_module

PACKAGES = {"ray": "ray", "dask": "distributed", "spark": "pyspark"}
KINDS = ("inline", "local", *PACKAGES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=SAMPLE_PHOTOS, help="photographs to cut the files from")
    parser.add_argument("--images", type=int, default=1000, help="of the run; 0: leave it out")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many is reported")
    parser.add_argument("--engines", nargs="+", choices=KINDS, default=[kind for kind in KINDS if installed(kind)])
    parser.add_argument("--real", action="store_true", help="also at the real clusters of the tests, on this machine")
    options = parser.parse_args()
    with ExitStack() as opened:
        engines: list[tuple[str, str | None]] = [(kind, None) for kind in options.engines]
        if options.real:
            engines += [(kind, opened.enter_context(real(kind))) for kind in options.engines if kind in PACKAGES]
        steps, runs = measure(engines, options)
    report(engines, steps, runs, options)


def installed(kind: str) -> bool:
    """Return whether an engine can be measured here."""
    if kind == "spark" and shutil.which("java") is None:
        return False
    return kind not in PACKAGES or importlib.util.find_spec(PACKAGES[kind]) is not None


@contextmanager
def real(kind: str) -> Iterator[str]:
    """Yield the address of a cluster of two workers, each a process."""
    module = importlib.import_module(f"image_assets_tests.engines.real_{kind}")
    with getattr(module, f"real_{kind}")() as cluster:
        yield cluster.address


Engine = tuple[str, str | None]
Best = dict[tuple[Engine, str], float]


def measure(engines: list[Engine], options: argparse.Namespace) -> tuple[Best, Best]:
    """Return the best seconds of every engine, in turns, so that whatever else the machine does hits all of them."""
    steps: Best = {}
    runs: Best = {}
    folder = imagenet_like(options.images, options.photos) if options.images else None
    for _ in range(options.repeat):
        for engine in engines:
            for what in ("engine", "bare"):
                step = measure_step(what, engine, options)
                keep(steps, (engine, f"{what} first"), step.printed["first_s"])
                keep(steps, (engine, f"{what} tasks"), step.printed["tasks_s"])
                keep(steps, (engine, f"{what} end"), step.printed["end_s"])
            if folder is not None:
                run = measure_run(folder, engine, options.workers)
                assert run.printed["images_processed"] == options.images
                keep(runs, (engine, run.printed["digest"]), run.wall_s)
    return steps, runs


def measure_step(what: str, engine: Engine, options: argparse.Namespace) -> Measured:
    """Return what starting, empty tasks and ending take."""
    kind, address = engine
    arguments = [what, kind, str(options.workers), str(options.tasks), *([] if address is None else [address])]
    return measure_module("image_assets_tests.benchmarks.engine_step", *arguments)


def measure_run(folder: Path, engine: Engine, workers: int) -> Measured:
    """Return what a run without features costs, from scratch."""
    kind, address = engine
    with tempfile.TemporaryDirectory() as store:
        return measure_module(
            "image_assets", "run", "--input", str(folder), "--store", store, "--json",
            "--workers", str(workers), "--features", "none", "--engine", address or kind,
        )  # fmt: skip


def keep(best: Best, name: tuple[Engine, str], seconds: float) -> None:
    """Keep the least."""
    best[name] = min(seconds, best.get(name, seconds))


def report(engines: list[Engine], steps: Best, runs: Best, options: argparse.Namespace) -> None:
    """Print a table, in Markdown; local processes, or whatever comes first without them, are 1."""
    base = next((engine for engine in engines if engine[0] == "local"), engines[0])
    digests = {digest for _, digest in runs}
    assert len(digests) <= 1, digests
    print(f"\n{options.workers} workers, {options.tasks} empty tasks, {options.images} photographs\n")
    columns = ["first result, s", "bare", "a task, ms", "bare", "end, s", *(["run, s", f"x {base[0]}"] if runs else [])]
    print(f"| engine | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    for engine in engines:
        name = engine[0] if engine[1] is None else f"{engine[0]}, cluster"
        cells = [f"{steps[engine, f'{what} first']:.2f}" for what in ("engine", "bare")]
        cells += [f"{steps[engine, f'{what} tasks'] / options.tasks * 1e3:.2f}" for what in ("engine", "bare")]
        cells += [f"{steps[engine, 'engine end']:.2f}"]
        for digest in digests:
            cells += [f"{runs[engine, digest]:.1f}", f"{runs[engine, digest] / runs[base, digest]:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")
    if digests:
        print(f"\nOne digest: {digests.pop()}")


if __name__ == "__main__":
    main()
