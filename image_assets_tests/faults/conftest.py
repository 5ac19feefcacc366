"""Fixtures of the attacks: one zygote and one of each history for the whole session."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from image_assets_tests.faults.histories import History, make_history
from image_assets_tests.faults.zygote import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Forks children; see the module."""
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture(scope="session")
def history_of(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Callable[[str], History]:
    """Return the history with a name, made once."""

    @cache
    def made(name: str) -> History:
        folder: Path = tmp_path_factory.mktemp(name.replace(" ", "-"))
        return make_history(folder, name, zygote)

    return made
