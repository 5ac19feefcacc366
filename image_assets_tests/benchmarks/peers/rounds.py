"""The runs of all the tools, in turns: cold at two sizes, then with nothing changed, then with one file changed."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CalledProcessError

from PIL import Image

from image_assets_tests.benchmarks.peers.environments import (
    InstallFailedError,
    installed_version,
    make_environment,
    variables,
)
from image_assets_tests.benchmarks.peers.registry import Peer
from image_assets_tests.benchmarks.peers.scripts.job import TALLY
from image_assets_tests.benchmarks.peers.usage import RunCrashedError, RunFailedError, Usage, measure
from image_assets_tests.benchmarks.peers.verify import Verdict, WrongOutputError, verify

_CRASHES = 3  # that a tool is allowed over all its runs; the table says how many there were


@dataclass(frozen=True, slots=True)
class Again:
    """A run over a finished dataset."""

    wall_s: float
    processed: int  # images
    stale_images: int  # that it should have done again and did not


@dataclass(slots=True)
class Contender:
    """One tool, and what its runs have shown so far."""

    name: str
    peer: Peer
    python: Path = Path(sys.executable)
    version: str = ""
    failure: str = ""  # why it takes no further part
    runs: int = 0
    crashes: int = 0
    cold: dict[int, list[Usage]] = field(default_factory=dict)  # by the number of images
    verdict: Verdict | None = None
    unchanged: Again | None = None
    changed: Again | None = None

    def best(self, images: int) -> Usage:
        """Return the fastest cold run of a size."""
        return min(self.cold[images], key=lambda usage: usage.wall_s)


def prepare_contenders(peers: dict[str, Peer]) -> list[Contender]:
    """Return the tools with their environments made; one that cannot be installed has its failure set."""
    contenders = [Contender(name, peer) for name, peer in peers.items()]
    for contender in contenders:
        peer = contender.peer
        try:
            if peer.requirements:
                contender.python = make_environment(peer.package, peer.requirements)
            contender.version = installed_version(contender.python, peer.package)
        except InstallFailedError as error:
            contender.failure = f"not installed: {error}"
        except CalledProcessError as error:
            contender.failure = f"its environment is broken: {error}"
    return contenders


def run_rounds(contenders: Sequence[Contender], folders: Sequence[Path], workspace: Path, repeat: int) -> None:
    """Let every tool do the job over every folder ``repeat`` times, then twice more over the last, kept output.

    Files of the last folder are changed.
    """
    # A tool that does not work is out at once, and no cold run compiles Python for the first time.
    _all(contenders, _cold, _some_of(folders[0], workspace / "warm-up"), workspace)
    for _ in range(repeat):  # in turns, so that whatever else the machine does hits all
        for folder in folders:
            _all(contenders, _cold, folder, workspace)
    # A yardstick writes nothing, so there is nothing to keep.
    writers = [contender for contender in contenders if contender.peer.read]
    _all(writers, _nothing_changed, folders[-1], workspace)
    paths = sorted(folders[-1].rglob("*.jpg"))
    turn_upside_down(paths[len(paths) // 2])
    _all(writers, _one_changed, folders[-1], workspace)


_Step = Callable[[Contender, Path, Path], Usage]


def _all(contenders: Sequence[Contender], step: _Step, folder: Path, workspace: Path) -> None:
    """Let each tool take the step; one that fails is out."""
    what = step.__name__.strip("_").replace("_", " ")
    for contender in contenders:
        if contender.failure:
            continue
        try:
            usage = _attempt(step, contender, folder, workspace)
        except (RunFailedError, WrongOutputError) as error:
            contender.failure = f"{what} run: {error}"
            _log(f"{folder.name}, {contender.peer.title}, {contender.failure}")
            continue
        numbers = f"{usage.wall_s:.1f} s, CPU {usage.cpu_s:.1f} s, {usage.peak_bytes / 1e6:.0f} MB"
        left = f", {usage.left_over} processes had to be killed" if usage.left_over else ""
        _log(f"{folder.name}, {contender.peer.title}, {what}: {numbers}{left}")


def _attempt(step: _Step, contender: Contender, folder: Path, workspace: Path) -> Usage:
    """Take a step, again when the tool crashed: Daft's interpreter now and then does at its very end.

    Raises:
        RunFailedError: it failed, or crashed once too often.
        WrongOutputError: it wrote something wrong.
    """
    while True:
        contender.runs += 1
        try:
            return step(contender, folder, workspace)
        except RunCrashedError as error:
            contender.crashes += 1
            _log(f"{contender.peer.title} crashed: {error}")
            if contender.crashes > _CRASHES:
                raise


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _cold(contender: Contender, folder: Path, workspace: Path) -> Usage:
    own = _own_folder(contender, folder, workspace)
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    usage = run_tool(contender, folder, own, {})
    if contender.peer.read:
        contender.verdict = verify(contender.peer.read(own / "output"), folder)
        if contender.verdict.stale_images:
            raise WrongOutputError(f"{contender.verdict.stale_images} hashes are not the SHA-256 of the raw file")
    images = sum(1 for _ in folder.rglob("*.jpg"))
    contender.cold.setdefault(images, []).append(usage)
    return usage


def _nothing_changed(contender: Contender, folder: Path, workspace: Path) -> Usage:
    usage, contender.unchanged = _again(contender, folder, workspace)
    return usage


def _one_changed(contender: Contender, folder: Path, workspace: Path) -> Usage:
    usage, contender.changed = _again(contender, folder, workspace)
    return usage


def _again(contender: Contender, folder: Path, workspace: Path) -> tuple[Usage, Again]:
    own = _own_folder(contender, folder, workspace)
    tally = own / "tally"
    tally.unlink(missing_ok=True)
    usage = run_tool(contender, folder, own, {TALLY: str(tally)})
    assert contender.peer.read is not None
    verdict = verify(contender.peer.read(own / "output"), folder)
    processed = contender.peer.processed(own / "log", tally)
    return usage, Again(usage.wall_s, processed, verdict.stale_images)


def run_tool(contender: Contender, folder: Path, own: Path, more: dict[str, str]) -> Usage:
    """Return what one run took; its output, cache and log lie in ``own``, ``more`` are environment variables.

    Raises:
        RunFailedError: it did not end well.
    """
    # Short, as Ray puts sockets below it, whose paths have 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="p-") as temp:
        env = {**variables(contender.python, Path(temp), own / "cache"), **more}
        command = [str(contender.python), *contender.peer.arguments(folder, own / "output")]
        os.sync()  # what the run before wrote is not this one's burden
        return measure(command, own / "log", env=env)


def _own_folder(contender: Contender, folder: Path, workspace: Path) -> Path:
    return workspace / f"{contender.name}-{folder.name}"


def _some_of(folder: Path, target: Path, count: int = 20) -> Path:
    """Copy some of the photographs, of all labels, and return ``target``."""
    paths = sorted(folder.rglob("*.jpg"))
    for path in paths[:: max(1, len(paths) // count)]:
        copy = target / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return target


def turn_upside_down(path: Path) -> None:
    """Turn a photograph upside down, as another program's new file under the old name."""
    aside = path.with_suffix(".new")
    with Image.open(path) as image:
        image.transpose(Image.Transpose.ROTATE_180).save(aside, "JPEG", quality=95)
    aside.rename(path)
