"""A real browser for tests: the Chromium of the system, driven by Playwright, seeing this machine alone."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

PHONE = {"width": 390, "height": 844}
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_HERE = ("http://127.0.0.1:", "http://localhost:", "file://", "data:", "blob:")


def chromium() -> str:
    """Return the path of the system's Chromium; skip the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("needs a browser: apt-get install chromium")
    return found


@contextmanager
def started_browser() -> Iterator[Browser]:
    """Yield a browser that runs while the ``with`` block does."""
    # Chromium's own sandbox refuses to run as root, as which containers of CI run.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened_page(browser: Browser, *, width: int = 1280, height: int = 900, javascript: bool = True) -> Iterator[Page]:
    """Yield an empty page; what it asks of other machines is refused and fails the test at the end."""
    refused: list[str] = []

    def route(asked: Route) -> None:
        if asked.request.url.startswith(_HERE):
            asked.continue_()
        else:
            refused.append(asked.request.url)
            asked.abort()

    context = browser.new_context(viewport={"width": width, "height": height}, java_script_enabled=javascript)
    try:
        page = context.new_page()
        page.route("**/*", route)
        yield page
    finally:
        context.close()
    assert refused == []
