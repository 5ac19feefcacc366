"""Fixtures for the Dagster layer: an instance in memory, a small daemon over a folder of twelve images."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from image_assets_tests.defs.small_daemon import SMALL_SETTINGS, SmallDaemon
from image_assets_tests.images import make_settings_for, write_images


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    # The SQL of files on disk without the files: those are for the tests of a real daemon.
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A source folder of twelve images; every shard of four has at least one of them."""
    write_images(tmp_path / "raw", 12)
    return tmp_path / "raw"


@pytest.fixture
def daemon(instance: dg.DagsterInstance, raw: Path) -> SmallDaemon:
    """The daemon of a dataset whose failed runs may be asked for again at once."""
    return SmallDaemon(instance, make_settings_for(raw.parent, **SMALL_SETTINGS))
