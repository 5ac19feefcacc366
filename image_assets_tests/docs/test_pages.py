"""Every page of the repository: what it tells the reader to type is run, and what it names is there."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_assets_tests.docs.claims import wrong_claims
from image_assets_tests.docs.markdown import ROOT, Link, anchors_of, blocks_of, links_of, pages, unread_of
from image_assets_tests.docs.project import Project, copied_project, made_project
from image_assets_tests.docs.story import Story

PAGES = pages()
EXECUTED = [page for page in PAGES if blocks_of((ROOT / page).read_text(encoding="utf-8"))]

# What a developer has set must not decide what a page does.
_OF_THE_READER = ("AWS_", "AZURE_", "GOOGLE_", "IMAGE_ASSETS_", "DAGSTER_", "HF_")


@pytest.fixture
def project(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """A project of the page's own, which is where it is and where it finds its programs."""
    base = tmp_path_factory.getbasetemp()
    # Processes of one test run share what is made once.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    project = copied_project(made_project(shared / "docs-project"), tmp_path / "page")
    monkeypatch.chdir(project.folder)
    monkeypatch.syspath_prepend(project.folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    environment = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(_OF_THE_READER)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(project.home))
    monkeypatch.setenv("PATH", f"{project.bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield project
    # Modules of the page's own, and what it told the environment, are not the next one's.
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(project.folder)):
            del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)


@pytest.mark.parametrize("page", EXECUTED, ids=str)
def test_what_a_page_says_to_do_can_be_done(page: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(page, project.home, monkeypatch)
    for block in blocks_of((ROOT / page).read_text(encoding="utf-8")):
        try:
            story.run(block)
        except Exception as error:
            error.add_note(f"in the block at {page}:{block.line}")
            raise


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    wrong = list(wrong_claims(text))
    wrong += [f"line {line}: a block that nothing would run; use a fence of ```" for line in unread_of(text)]
    wrong += [f"line {link.line}: {lost}" for link in links_of(text) if (lost := _lost(page, link))]
    assert not wrong, "\n".join([f"{page}:", *wrong])


def _lost(page: Path, link: Link) -> str | None:
    """Return what is wrong with a link, None if nothing is."""
    if link.picture and not link.text.strip():
        return f"the picture {link.target} has no text for who does not see it"
    if link.target.startswith(("http://", "https://", "mailto:")):
        return None
    path, _, anchor = link.target.partition("#")
    target = (ROOT / page.parent / path) if path else ROOT / page
    if not target.exists():
        return f"there is no {link.target}"
    if anchor and anchor not in anchors_of(target.read_text(encoding="utf-8")):
        return f"{target.name} has no part #{anchor}"
    return None
