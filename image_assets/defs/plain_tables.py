"""Markdown that Dagster shows: tables, bars and pictures, without markup out of the names of strangers' files."""

from collections.abc import Iterable, Sequence

from image_assets.core.sample import REASONS
from image_assets.pipeline.contact_sheets import Sheet, reason_of
from image_assets.pipeline.histograms import Bars
from image_assets.pipeline.run_changes import Changes

# Dagster shows shorter texts in place, and longer ones behind a link.
IN_PLACE = 990
_LEAST_LISTED = 5
_BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MOST_CELL = 160
_MARKUP = frozenset("|<>&`[]()*_!\\#~:@")


def plain(text: str) -> str:
    """Return text as it is to be read: no markup, no line breaks, no direction of its own; not too long."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    shown = shown if len(shown) <= _MOST_CELL else f"{shown[: _MOST_CELL - 40]}…{shown[-39:]}"
    return "".join(_harmless(char) for char in shown)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *lines])


def bars(what: str, counts: Bars, more: str = "") -> str:
    """Return a histogram as a table, the longest bar of twenty blocks."""
    most = max((count for _, count in counts), default=0)
    rows = [(plain(name), f"{count:,}", _bar(count / most if most else 0)) for name, count in counts]
    return table((what, "images", ""), rows) + (f"\n\n{more}" if more else "")


def changes_text(changes: Changes) -> str:
    """Return what changed: how many images in which way, and the first of them in a table."""
    if not changes.total:
        return changes.note or "Nothing changed."
    counts = ", ".join(f"{count:,} {kind}" for kind, count in changes.counts.items())
    said = f"**{changes.total:,} {'image' if changes.total == 1 else 'images'} changed**: {counts}. {changes.note}\n\n"
    rows = [(plain(change.key), change.kind, plain(change.detail)) for change in changes.listed]
    for shown in range(len(rows), 0, -1):
        left = changes.total - shown
        whole = said + table(
            ("image", "what", "detail"), [*rows[:shown], *([(f"… {left:,} more", "", "")] if left else [])]
        )
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
