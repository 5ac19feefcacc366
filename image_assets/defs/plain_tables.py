"""Markdown that Dagster shows: tables, bars and pictures, without markup out of the names of strangers' files."""

import re
from collections.abc import Iterable, Sequence

from image_assets.core.sample import REASONS
from image_assets.core.words import counted
from image_assets.pipeline.contact_sheets import Sheet, reason_of
from image_assets.pipeline.histograms import Bars
from image_assets.pipeline.run_changes import Changes

# Dagster shows shorter texts in place, and longer ones behind a link.
IN_PLACE = 990
_LEAST_LISTED = 5
_BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"
# A longer word makes a table wider than the page, and what is said beside it is out of sight.
_MOST_CELL, _MOST_NAME, _MOST_LABEL = 160, 60, 40
_MARKUP = frozenset("|<>&`[]()*_!\\#~:@")
# Dagster's pages make links of words like addresses, however they are escaped, but not across a piece of code.
_OF_ADDRESSES = re.compile(r"((?<=www)[.:@]+|(?<=http)[.:@]+|(?<=https)[.:@]+|[.:@]*@[.:@]*)", re.IGNORECASE)


def plain(text: str, most: int = _MOST_CELL) -> str:
    """Return text as it is to be read: no markup, links, line breaks or direction of its own; the middle of a long one
    is left out.
    """
    shown = text.encode("utf-8", "backslashreplace").decode()
    shown = shown if len(shown) <= most else f"{shown[: most // 2]}…{shown[1 - most // 2 :]}"
    parts = enumerate(_OF_ADDRESSES.split(shown))
    return "".join(f"`{part}`" if place % 2 else "".join(map(_harmless, part)) for place, part in parts)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 0) -> str:
    """Return a table of cells that are Markdown already; ``left`` rows more there are that it does not have."""
    more = [(f"… {left:,} more", *[""] * (len(header) - 1))] if left > 0 else []
    lines = [f"| {' | '.join(cells)} |" for cells in [*rows, *more]]
    return "\n".join([f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *lines])


def bars(what: str, counts: Bars, more: str = "") -> str:
    """Return a histogram as a table, the longest bar of twenty blocks."""
    most = max((count for _, count in counts), default=0)
    rows = [(plain(name, _MOST_LABEL), f"{count:,}", _bar(count / most if most else 0)) for name, count in counts]
    return table((what, "images", ""), rows) + (f"\n\n{more}" if more else "")


def changes_text(changes: Changes) -> str:
    """Return what changed: how many images in which way, and the first of them in a table."""
    if not changes.total:
        return changes.note or "Nothing changed."
    counts = ", ".join(f"{count:,} {kind}" for kind, count in changes.counts.items())
    said = f"**{counted(changes.total, 'image')} changed**: {counts}. {changes.note}\n\n"
    rows = [(plain(change.key, _MOST_NAME), change.kind, plain(change.detail)) for change in changes.listed]
    for shown in range(len(rows), 0, -1):
        whole = said + table(("image", "what", "detail"), rows[:shown], changes.total - shown)
        if len(whole) <= IN_PLACE or shown <= _LEAST_LISTED:
            return whole
    return said.strip()


def failures_text(reasons: Bars) -> str:
    """Return how many images have no output for which reason, in words."""
    rows = [(f"`{reason}`", f"{count:,}", plain(REASONS.get(reason, ""))) for reason, count in reasons]
    return table(("reason", "images", "meaning"), rows) + (
        "\n\n`image-assets quarantine` lists them, `image-assets retry` tries them again."
    )


def sheet_text(sheet: Sheet, whole: str, images: int) -> str:
    """Return a contact sheet as a picture with its text, and what is to be seen under it.

    Args:
        whole: what it is of, in words.
        images: how many images that has.
    """
    title = f"Contact sheet of {whole}: {sheet.shown:,} of {images:,} images"
    named = ", ".join(plain(key) for key in sheet.keys)
    more = ", …" if sheet.shown > len(sheet.keys) else ""
    said = [f"![{plain(title)}. {named}{more}]({sheet.picture.data_uri})", f"{title}."]
    if sheet.failed:
        why = ", ".join(f"{plain(change.key)} ({plain(reason_of(change))})" for change in sheet.failed)
        said.append(f"Failed, on red: {why}.")
    if sheet.changed:
        said.append(_changed(sheet.changed, first=not sheet.failed))
    if sheet.shown > len(sheet.failed) + sheet.changed:
        others = "The others are" if sheet.failed or sheet.changed else "It is"
        said.append(f"{others} a sample that stays the same from run to run.")
    return "\n\n".join(said)


def _changed(count: int, *, first: bool) -> str:
    start = "The first" if first else "The next"
    return f"{start} is what this run changed." if count == 1 else f"{start} {count:,} are what this run changed."


def _bar(share: float) -> str:
    blocks, eighths = divmod(round(share * _BAR_WIDTH * 8), 8)
    # A bar of nothing is nothing, and of one image among millions still something.
    return ("█" * blocks + _EIGHTHS[eighths].strip()) or ("▏" if share else "")


def _harmless(char: str) -> str:
    if char.isprintable():
        return f"&#{ord(char)};" if char in _MARKUP else char
    return "".join(f"&#92;{escape}" for escape in char.encode("unicode_escape").decode().split("\\")[1:])
