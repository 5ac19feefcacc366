"""Everything that the doctor looks at, in the order in which it is told."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from image_assets.core.errors import ConfigError
from image_assets.pipeline.doctor.environment import environment_findings
from image_assets.pipeline.doctor.finding import Finding
from image_assets.pipeline.doctor.instance import instance_findings
from image_assets.pipeline.doctor.needs import need_findings
from image_assets.pipeline.doctor.places import source_findings, store_findings
from image_assets.settings import Settings, load_settings
from image_assets.settings.datasets import find_conflicts

# Where a finding belongs that is of no single dataset.
MACHINE, DAGSTER = "this machine", "Dagster"


def examine(files: Sequence[Path], *, write: bool, dagster: bool) -> Iterator[tuple[str, Finding]]:
    """Yield (what it is of, finding): of this machine, of each dataset, of Dagster.

    Args:
        files: the settings files of the datasets to look at.
        write: also write a probe of some bytes into stores that there are, and remove it.
        dagster: also ask Dagster's instance, which takes seconds.
    """
    for finding in environment_findings():
        yield MACHINE, finding
    yield from _of_datasets(files, write=write)
    if dagster:
        for finding in instance_findings():
            yield DAGSTER, finding


def _of_datasets(files: Sequence[Path], *, write: bool) -> Iterator[tuple[str, Finding]]:
    read: dict[str, Settings] = {}
    for file in files:
        title = f"dataset in {file}"
        try:
            read[str(file)] = settings = load_settings(file)
        except ConfigError as error:
            yield title, Finding("settings", "fail", str(error), "correct the file")
            continue
        yield title, Finding("settings", "ok", f"valid; dataset {settings.name!r}")
        for finding in _of_dataset(settings, write=write):
            yield title, finding
    for name, why in find_conflicts(read).items():
        yield f"dataset in {name}", Finding("settings", "fail", why, "one of the two files is to be changed")


def _of_dataset(settings: Settings, *, write: bool) -> Iterator[Finding]:
    yield from need_findings(settings)
    images = 0
    for finding, seen in source_findings(settings):
        images += seen
        yield finding
    yield from store_findings(settings, images, write=write)
