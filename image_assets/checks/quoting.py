"""How a check names a label in its sentence: as code, for Dagster shows Markdown and labels are strangers' words."""

_MOST = 40


def quoted(label: str | None) -> str:
    """Return a label between backquotes, without any of its own and on one line; the middle of a long one left out."""
    if label is None:
        return "no label"
    shown = label if len(label) <= _MOST else f"{label[: _MOST // 2]}…{label[1 - _MOST // 2 :]}"
    # Two backquotes would begin another kind of code.
    return f"`{shown.replace('`', chr(39))!r}`"
