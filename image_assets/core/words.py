"""Numbers as people read them."""

from collections.abc import Sequence

_STEPS = ("B", "kB", "MB", "GB", "TB", "PB")


def grouped(number: float) -> str:
    """Return a whole number with its digits in threes."""
    return f"{number:,.0f}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and what is counted: ``1 image``, ``2 images``."""
    return f"{grouped(number)} {one if number == 1 else many or one + 's'}"


def percent(part: float, whole: float) -> str:
    """Return a part of a whole in percent; a part that is not nothing never reads ``0 %``, nor a smaller one 100."""
    if not whole:
        return "none"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1%"
    if 99.9 < share < 100:
        return "> 99.9%"
    return f"{share:.1f}%"


def size(size_bytes: float) -> str:
    """Return bytes in the largest decimal unit that leaves a number above one."""
    step = 0
    while size_bytes >= 1000 and step < len(_STEPS) - 1:
        size_bytes /= 1000
        step += 1
    return f"{size_bytes:.0f} {_STEPS[step]}" if step < 1 or size_bytes >= 100 else f"{size_bytes:.1f} {_STEPS[step]}"


def duration(seconds: float) -> str:
    """Return a time in the largest of seconds, minutes and hours that says it well."""
    minutes = int(seconds) // 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:,.0f} h"


def listed(words: Sequence[str]) -> str:
    """Return words as in a sentence: ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def moment(iso: str) -> str:
    """Return a time of a head (UTC, ISO 8601) to the minute."""
    return f"{iso[:10]} {iso[11:16]} UTC" if len(iso) >= 16 else iso
