"""The project in which pages are executed: the sample dataset, run once, and someone's own photographs."""

import fcntl
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from image_assets.cli import main
from image_assets_tests.docs.markdown import ROOT

_PARTS = (
    *("pyproject.toml", "workspace.yaml", "dagster.yaml", "README.md"),
    *("data/photos", "data/datasets", "data/deploy", "data/examples", "data/pictures"),
)
# So many of each of two labels are the photographs of the reader.
_OWN = {"shirt": 4, "shoes": 4}


@dataclass(frozen=True, slots=True)
class Project:
    """Where a page's story happens; ``bin`` holds the programs that its shell finds first."""

    folder: Path
    home: Path
    bin: Path


def made_project(place: Path) -> Path:
    """Return a folder with everything that pages start from, made by the first who asks."""
    with _alone(place.with_suffix(".lock")):
        if not place.exists():
            aside = place.with_suffix(".tmp")
            shutil.rmtree(aside, ignore_errors=True)
            _make(aside)
            aside.rename(place)
    return place


def copied_project(made: Path, place: Path) -> Project:
    """Return a project of one page's own."""
    shutil.copytree(made, place, symlinks=True)
    project = Project(place / "project", place / "home", place / "bin")
    for folder in (project.bin, project.folder / ".venv/bin"):
        _write_programs(folder)
    return project


def _make(place: Path) -> None:
    project, photos = place / "project", place / "home/photos"
    for name in _PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, project / name)
    (place / "home/Downloads").mkdir(parents=True)
    for label, count in _OWN.items():
        (photos / label).mkdir(parents=True)
        for path in sorted((ROOT / "data/photos" / label).iterdir())[:count]:
            shutil.copy2(path, photos / label)
    config = project / "data/datasets/photos.yaml"
    # In the test's own process: a page is run in seconds, and what it makes is the same.
    config.write_text(f"{config.read_text()}workers: 0\n")
    done = CliRunner().invoke(main, ["run", "--config", str(config)])
    assert done.exit_code == 0, done.output


def _write_programs(folder: Path) -> None:
    folder.mkdir(parents=True)
    commands = {"image-assets": "-m image_assets", "python": "", "python3": ""}
    for name, words in commands.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        path.chmod(0o755)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock among the processes of one test run."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
