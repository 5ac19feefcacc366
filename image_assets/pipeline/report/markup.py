"""HTML that is made of elements: every text and every attribute is escaped, whoever it comes from."""

import html
from collections.abc import Iterable, Iterator

from image_assets.core.plain_text import cut, printable


class Markup(str):
    """HTML that was made here; any other text becomes text."""

    __slots__ = ()


# What may stand between the tags of an element.
Child = str | int | float | Iterable["Child"] | None
_VOID = frozenset({"meta", "img", "br", "link"})
# Within SVG an element without an end would hold all that follows.
_SHAPES = frozenset({"rect", "path", "circle", "use"})
# No key of a bucket is longer, and no word of a decoder that is kept; a label may be.
_LONGEST = 1024


def element(tag: str, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """Return an element.

    Args:
        children: text, which is escaped, elements, or lists of both; None is nothing.
        attributes: ``class_`` for ``class`` and ``aria_label`` for ``aria-label``; True stands alone, None and False
            are left out.
    """
    opening = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{opening}>")
    if tag in _SHAPES:
        return Markup(f"<{tag}{opening}/>")
    return Markup(f"<{tag}{opening}>{''.join(_flat(children))}</{tag}>")


def together(*children: Child) -> Markup:
    """Return some children as they follow each other."""
    return Markup("".join(_flat(children)))


def isolated(text: str, **attributes: str) -> Markup:
    """Return a text of strangers: of whatever direction it is, what stands around it keeps its own."""
    return element("bdi", cut(printable(text), _LONGEST), **attributes)


def prose(text: str) -> Markup:
    """Return a sentence in which what stands between backquotes is code."""
    return together(element("code", part) if place % 2 else part for place, part in enumerate(text.split("`")))


def _flat(children: Iterable[Child]) -> Iterator[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield html.escape(child)
        elif isinstance(child, (int, float)):
            yield str(child)
        else:
            yield from _flat(child)


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    attribute = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {attribute}"
    # Line breaks are kept in attributes, and would break an alternative text that is read line by line.
    return f' {attribute}="{html.escape(printable(str(value)))}"'
