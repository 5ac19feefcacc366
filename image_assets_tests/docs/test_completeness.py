"""Nothing that there is has been forgotten on the page that lists its kind."""

import re

import click

from image_assets.checks import INDEX_CHECKS, LISTING_CHECKS, SHARD_CHECKS, VECTOR_CHECKS
from image_assets.cli import main
from image_assets.features import EXTRACTORS
from image_assets.formats import FORMATS
from image_assets.pipeline.following import FOLLOWERS
from image_assets_tests.docs.markdown import ROOT, links_of, pages, tables_of

OWN = {"raw_listing", "image_shards", "training_index"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def named_in(name: str, column: str) -> set[str]:
    """Return what stands in code font in one column of a page's tables."""
    rows = [row for _, rows in tables_of(read(name)) for row in rows]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row.get(column, ""))}


def test_every_page_is_reached_from_the_first() -> None:
    start = "README.md"
    found, waiting = {start}, [start]
    while waiting:
        page = waiting.pop()
        for link in links_of(read(page)):
            target = ((ROOT / page).parent / link.target.partition("#")[0]).resolve()
            name = str(target.relative_to(ROOT)) if target.is_relative_to(ROOT) else ""
            if name.endswith(".md") and name not in found and target.exists():
                found.add(name)
                waiting.append(name)
    assert {str(page) for page in pages()} <= found


def test_every_asset_and_its_checks_are_listed() -> None:
    assert OWN | FOLLOWERS.keys() <= named_in("data/README.md", "asset")
    checks = [*LISTING_CHECKS, *SHARD_CHECKS, *INDEX_CHECKS, *VECTOR_CHECKS]
    known = named_in("data/README.md", "its checks") | named_in("data/README.md", "check")
    # Those that settings ask for stand on the pages of what they judge.
    elsewhere = {check for check in checks if f"`{check}`" in read("data/SPLITS.md") + read("data/ANNOTATIONS.md")}
    assert set(checks) <= known | elsewhere


def test_every_format_and_extractor_is_listed() -> None:
    assert named_in("data/FORMATS.md", "name") == set(FORMATS)
    assert named_in("data/FEATURES.md", "`features.extractor`") >= set(EXTRACTORS)


def test_every_command_is_listed() -> None:
    text = read("data/COMMANDS.md")
    assert [name for name in _commands(main, ()) if f"image-assets {name}" not in text] == []


def _commands(group: click.Group, before: tuple[str, ...]) -> list[str]:
    found = []
    for name, command in group.commands.items():
        path = (*before, name)
        found += _commands(command, path) if isinstance(command, click.Group) else [" ".join(path)]
    return found
