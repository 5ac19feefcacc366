"""Fixtures for all tests: folders of real image files, settings for them."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from image_assets.settings import Settings
from image_assets_tests.browser import opened_page, started_browser
from image_assets_tests.gcs_writes import with_writes
from image_assets_tests.images import make_settings_for
from image_assets_tests.servers import Server, azure_server, gcs_server, s3_server

# Who starts the tests in the background has told them, and with them every program they start, to ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium for all tests of this process; they are skipped where there is none."""
    with started_browser() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of a desktop's size, which must not ask other machines for anything."""
    with opened_page(browser) as opened:
        yield opened


@pytest.fixture(scope="session")
def s3_session() -> Iterator[Server]:
    """An S3 server for all tests of this process."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def azure_session() -> Iterator[Server]:
    """An Azure server for all tests of this process."""
    with azure_server() as server:
        yield server


@pytest.fixture(scope="session")
def gcs_session() -> Iterator[Server]:
    """A server that speaks like Google's for all tests of this process."""
    with gcs_server() as emulator, with_writes(emulator) as server:
        yield server


@pytest.fixture
def s3(s3_session: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An S3 server, and its credentials in the environment."""
    return _known(s3_session, monkeypatch)


@pytest.fixture
def azure(azure_session: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An Azure server, and its credentials in the environment."""
    return _known(azure_session, monkeypatch)


@pytest.fixture
def gcs(gcs_session: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that speaks like Google's, as far as ``gcs_writes`` says; it wants no credentials."""
    return _known(gcs_session, monkeypatch)


def _known(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server
