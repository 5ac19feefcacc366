"""Fixtures for all tests: folders of real image files, settings for them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from image_assets.settings import Settings
from image_assets_tests.images import make_settings_for


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--corpus", type=Path, help="Folder with photos/ and odd/truth.csv; tests that need it run then.")


@pytest.fixture
def corpus(request: pytest.FixtureRequest) -> Path:
    """The folder given with --corpus."""
    path: Path | None = request.config.getoption("--corpus")
    if path is None:
        pytest.skip("needs --corpus PATH")
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a small fast dataset over ``tmp_path/raw``; keyword arguments are nested like the YAML file."""
    (tmp_path / "raw").mkdir()

    def make(**overrides: object) -> Settings:
        return make_settings_for(tmp_path, **overrides)

    return make
