"""The report in a real browser: without a network, a script or a mouse, in the dark, on a phone and on paper."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from image_assets.pipeline.report.building import write_report
from image_assets_tests.browser import PHONE, opened_page
from image_assets_tests.pipeline.reports import EVIL, reported_on, text_of

# Of the tables behind charts one: they are all alike, and each has a hundred cells.
_OPEN_ALL = (
    "for (const closed of document.querySelectorAll('section > details, .block > details, .checks details')) "
    "closed.open = true; document.querySelector('#drift .chart details').open = true"
)

# Contrast takes most of the time: it is told of one of everything, by day and in the dark; the rest of the whole page.
_ALL_KINDS = {"include": [["header"], ["nav"], ["#checks"], ["#growth"], ["#duplicates"], ["#drift"], ["#provenance"]]}
_CONTRAST = {"runOnly": ["color-contrast"]}
_ALL_ELSE = {"rules": {"color-contrast": {"enabled": False}}}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_report(reported_on(folder), folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """What the console was told; nothing, at the end."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield said
    assert said == []


def test_it_says_what_there_is(report: str) -> None:
    said = text_of(Path(report.removeprefix("file://")).read_bytes())
    assert "18 images in 4 labels; 2 failed." in said
    for sentence in (
        "2 snapshots are kept",
        "2 groups: 2 images with the same pixels as another one, 2 images all but the same",
        "Truncated 1 image, 5.0% of all",
        "Compared with snapshot 1.",
        "scaled to fill 48 \u00d7 48 pixels",
    ):
        assert sentence in said


@pytest.mark.parametrize(
    ("scheme", "where", "rules"),
    [("light", None, _ALL_ELSE), ("light", _ALL_KINDS, _CONTRAST), ("dark", _ALL_KINDS, _CONTRAST)],
)
@pytest.mark.usefixtures("complaints")
def test_nothing_keeps_anybody_from_reading_it(page: Page, report: str, scheme, where, rules) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(report)
    page.evaluate(_OPEN_ALL)
    found = Axe().run(page, context=where, options=rules)
    assert found.violations_count == 0, found.generate_report()
    # What axe cannot judge it lists here: the contrast of signs, which are no text and stand beside a word.
    unsure = [item["nodes"] for item in found.response["incomplete"] if item["id"] == "color-contrast"]
    assert [node["html"] for nodes in unsure for node in nodes if 'aria-hidden="true"' not in node["html"]] == []
    levels = [
        int(name[1]) for name in page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => e.tagName)")
    ]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


@pytest.mark.usefixtures("complaints")
def test_what_strangers_wrote_does_nothing_and_every_picture_is_there(page: Page, report: str) -> None:
    page.goto(report)
    assert page.title() == "tiny: dataset report"
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth || !image.alt).length") == 0
    assert page.locator("summary bdi", has_text=EVIL).count() == 1
    alternative = page.evaluate("[...document.images].map(image => image.alt)")
    assert f"{EVIL}, x\"' onerror='doc…u202egpj.jpg, 40\u00d730" in alternative
    assert "truncated, half & <b>.jpg, what is left of it" in alternative
    assert page.get_by_role("img", name="not_an_image, words.jpg, no picture").count() == 1


@pytest.mark.usefixtures("complaints")
def test_the_keyboard_alone_reaches_everything_and_is_always_to_be_seen(page: Page, report: str) -> None:
    page.goto(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "report"
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, style, width = page.evaluate(
            "[document.activeElement].map(e => [e.tagName, getComputedStyle(e)])"
            ".map(([name, css]) => [name, css.outlineStyle, css.outlineWidth])[0]"
        )
        if name == "BODY":
            break
        seen.append(name)
        assert (style, width) != ("none", "0px")
    assert seen.count("SUMMARY") == page.locator("summary:visible").count()
    # A sheet of pictures is closed with the space bar, and found by its label.
    first = page.locator("#labels summary").first
    first.focus()
    page.keyboard.press("Space")
    assert page.locator("#labels details").first.get_attribute("open") is None


@pytest.mark.usefixtures("complaints")
def test_typing_a_name_leaves_the_pictures_that_have_it(page: Page, report: str) -> None:
    page.goto(report)
    page.get_by_label("Show only labels and file names with").fill("COPY")
    assert page.locator("#labels .sheet li:visible .name").all_text_contents() == ["copy.jpg"]
    assert page.get_by_role("status").text_content() == "1 of the pictures shown here"
    page.get_by_label("Show only labels and file names with").fill("")
    assert page.locator("#labels .sheet li:visible").count() == 18


def test_on_a_phone_without_scripts_nothing_scrolls_sideways_but_tables_in_their_boxes(
    browser: Browser, report: str
) -> None:
    with opened_page(browser, **PHONE, javascript=False) as page:
        page.goto(report)
        assert page.locator("#labels .sheet li").count() == 18
        assert page.locator(".finder").count() == 0
        closed = page.locator("details:not([open]) > summary:visible")
        while closed.count():
            closed.first.click()
        # Playwright itself may look into a page whose scripts are off.
        wide = page.evaluate(
            "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1"
            " && !e.closest('.scroll, pre, .icons')).map(e => e.outerHTML.slice(0, 80))"
        )
        assert wide == []
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_on_paper_what_is_closed_is_open(page: Page, report: str, tmp_path: Path) -> None:
    page.goto(report)
    page.emulate_media(media="print")
    page.pdf(path=tmp_path / "report.pdf")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("nav").is_hidden()
