"""What a person sees of a dataset in the pages of the Dagster UI, looked at with a browser."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect

from image_assets_tests.browser import opened_page, started_browser
from image_assets_tests.end_to_end.dagster_dev import DagsterDev

# A page of the UI comes in parts, on a machine that does other things as well.
_PATIENCE_MS = 60_000


@contextmanager
def looking(dev: DagsterDev) -> Iterator[Page]:
    """Yield a page of a browser; it is skipped where there is none."""
    with started_browser() as browser, opened_page(browser, width=1440, height=1000) as page:
        page.set_default_timeout(_PATIENCE_MS)
        expect.set_options(timeout=_PATIENCE_MS)
        yield page


def open_contact_sheet(page: Page) -> None:
    """Open the sheet of the materialization that a page shows, and wait until its picture is there."""
    page.get_by_text("[Show Markdown]").first.click()
    page.get_by_alt_text("Contact sheet of").wait_for(timeout=_PATIENCE_MS)


def choose_plots(page: Page) -> None:
    """Show an asset's numbers as plots."""
    page.get_by_text("Plots", exact=True).first.click()


def a_shard_shows_its_pictures_and_what_failed(dev: DagsterDev, page: Page, shard: str, failed: str) -> None:
    page.goto(f"{dev.url}/assets/{dev.name}/image_shards?view=partitions&partition={shard}")
    expect(page.get_by_text("what_changed", exact=True).first).to_be_visible()
    # The table of what changed is drawn as a table, and has the image that failed in it.
    expect(page.get_by_role("cell", name=failed).first).to_be_visible()
    open_contact_sheet(page)
    sheet = page.get_by_alt_text(f"Contact sheet of shard {shard}")
    expect(sheet).to_be_visible()
    assert sheet.evaluate("picture => picture.complete && picture.naturalWidth > 0")
    assert failed in str(sheet.get_attribute("alt"))


def the_numbers_of_shards_are_plotted(dev: DagsterDev, page: Page) -> None:
    page.goto(f"{dev.url}/assets/{dev.name}/image_shards?view=overview")
    choose_plots(page)
    for number in ("images", "failed_fraction", "processing_time_sec"):
        expect(page.get_by_text(number, exact=True).first).to_be_visible()
    expect(page.locator("canvas").first).to_be_visible()


def the_index_says_what_it_is(dev: DagsterDev, page: Page) -> None:
    page.goto(f"{dev.url}/assets/{dev.name}/training_index?view=overview")
    expect(page.get_by_text("One row for each live output image").first).to_be_visible()
    expect(page.get_by_text("Hash of key and variant").first).to_be_visible()
    # Dagster shows a team by its name.
    expect(page.get_by_text("tests", exact=True).first).to_be_visible()


def a_failed_check_says_what_to_do(dev: DagsterDev, page: Page) -> None:
    page.goto(f"{dev.url}/assets/{dev.name}/image_shards?view=checks&checkDetail=failed_fraction")
    expect(page.get_by_text("image-assets quarantine").first).to_be_visible()
