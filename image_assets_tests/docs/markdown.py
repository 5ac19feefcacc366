"""What a Markdown page holds: its blocks, links, pictures, headings, tables and what stands in code font."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```[ \t]*$", re.MULTILINE | re.DOTALL)
_HIDDEN = re.compile(r"^<!-- test: (?P<text>.+?) -->$", re.MULTILINE)
_NAME = re.compile(r"# ([\w.-]+(?:/[\w.-]+)*\.(?:py|ya?ml|json|toml|sql|ini|csv|txt|env))")
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page; ``name`` is the file that it is, if it says so."""

    language: str
    name: str | None
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Link:
    """A link, or a picture, with the text for who does not see it."""

    text: str
    target: str
    picture: bool
    line: int


def pages() -> list[Path]:
    """Return every page of the repository, relative to its root."""
    found = [*ROOT.glob("*.md"), *(ROOT / "data").rglob("*.md"), *(ROOT / "image_assets").rglob("*.md")]
    found += (ROOT / "image_assets_tests").rglob("*.md")
    # What the platform itself and Dagster write is not ours.
    written = [ROOT / "data" / name for name in ("store", "dagster", "logs")]
    return sorted(path.relative_to(ROOT) for path in found if not any(map(path.is_relative_to, written)))


def blocks_of(text: str) -> list[Block]:
    """Return what a page has in fences, and its hidden preparations, in order."""
    found = [_block(text, match) for match in _FENCE.finditer(text)]
    # Commands that a reader need not see stand in comments.
    bare = without_blocks(text)
    found += [Block("bash", None, match["text"], line_of(bare, match.start())) for match in _HIDDEN.finditer(bare)]
    return sorted(found, key=lambda block: block.line)


def without_blocks(text: str) -> str:
    """Return a page with its fenced blocks emptied, every other line where it was."""
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def unread_of(text: str) -> list[int]:
    """Return the lines of what would be overlooked: blocks that are only indented, other fences, cut comments."""
    bare = _HIDDEN.sub("", without_blocks(text))
    found = re.finditer(r"(?<=\n\n) {4,}\S|^[ >]*(?:```|~~~)|<!-- *test", bare, re.MULTILINE)
    return [line_of(bare, match.start()) for match in found]


def links_of(text: str) -> Iterator[Link]:
    """Yield all links and pictures outside blocks and code."""
    bare = without_blocks(text)
    plain = _CODE.sub(lambda match: "x" * len(match[0]), bare)
    for match in _LINK.finditer(plain):
        yield Link(
            bare[slice(*match.span("text"))], match["target"], bool(match["picture"]), line_of(bare, match.start())
        )


def code_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of whatever stands in code font outside blocks."""
    bare = without_blocks(text)
    for match in _CODE.finditer(bare):
        yield line_of(bare, match.start()), match[1]


def anchors_of(text: str) -> set[str]:
    """Return what a link to a part of the page may say behind ``#``, as GitHub makes it."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", without_blocks(text), re.MULTILINE):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        times = found.get(slug, 0)
        found[slug] = times + 1
        if times:
            found[f"{slug}-{times}"] = 1
    return set(found) | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def tables_of(text: str) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """Yield each table as its line and rows; a cell's ``|`` is written ``\\|``."""
    lines = without_blocks(text).splitlines()
    for at, line in enumerate(lines[:-1]):
        if line.startswith("|") and re.fullmatch(r"\|[\s:|-]+\|", lines[at + 1]):
            names, rows = _cells(line), []
            for row in lines[at + 2 :]:
                if not row.startswith("|"):
                    break
                rows.append(dict(zip(names, _cells(row), strict=False)))
            yield at + 1, rows


def line_of(text: str, position: int) -> int:
    """Return the number of the line at a position, from 1 on."""
    return text.count("\n", 0, position) + 1


def _block(page: str, match: re.Match[str]) -> Block:
    language, _, name = match["info"].strip().partition(" ")
    text = textwrap.dedent(match["text"])
    first = text.partition("\n")[0].rstrip()
    if not name and (named := _NAME.fullmatch(first)):
        name = named[1]
    return Block(language, name.strip() or None, text, line_of(page, match.start()))


def _cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]
