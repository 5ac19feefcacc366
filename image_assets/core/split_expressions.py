"""Which rows a split expression of Hugging Face names: ``train``, ``train[:10%]``, ``train[100:200]+test``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from image_assets.core.errors import ConfigError

_TERM = re.compile(
    r"(?P<split>\w+(?:\.\w+)*)"
    r"(?P<slice>\[(?:(?P<start>-?[\d_]+)(?P<start_pct>%)?)?:(?:(?P<end>-?[\d_]+)(?P<end_pct>%)?)?\])?"
    r"(?:\((?P<rounding>[^)]*)\))?"
)
_CLOSEST, _PCT1 = "closest", "pct1_dropremainder"


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows ``[start, end)`` of a split; ``whole`` says that no slice was asked for, however many rows it has."""

    split: str
    start: int
    end: int
    whole: bool


def parse_split(text: str, rows_of: Mapping[str, int]) -> list[RowRange]:
    """Return the ranges of rows that an expression names, in its order.

    Syntax and rounding are those of ``datasets``: a percentage is rounded to the nearest row (or, where
    ``(pct1_dropremainder)`` stands behind, counts hundredths of equal size), a negative bound counts from the end, a
    bound beyond the end is the end.

    Args:
        rows_of: the number of rows of each split that there is.

    Raises:
        ConfigError: it is no such expression, or names a split that is not there.
    """
    ranges = []
    for term in text.split("+"):
        found = _TERM.fullmatch(term.strip())
        if found is None or (found["rounding"] or _CLOSEST) not in (_CLOSEST, _PCT1):
            raise ConfigError(f"split {text!r} cannot be read at {term!r}; write train, train[:10%] or train[5:9]+test")
        split = found["split"]
        if split == "all" and split not in rows_of:
            ranges += [RowRange(name, 0, rows, whole=True) for name, rows in rows_of.items()]
            continue
        if split not in rows_of:
            raise ConfigError(f"no split {split!r} in the dataset; found: {', '.join(rows_of)}")
        ranges.append(_range(found, rows_of[split]))
    return ranges


def _range(found: "re.Match[str]", rows: int) -> RowRange:
    percent = bool(found["start_pct"] or found["end_pct"])
    bounds = []
    for text, default in ((found["start"], 0), (found["end"], rows)):
        number = default if text is None else _rows(int(text), rows, found) if percent else int(text)
        bounds.append(min(max(rows + number, 0) if number < 0 else number, rows))
    start, end = bounds
    return RowRange(found["split"], start, max(start, end), whole=found["slice"] is None)


def _rows(percent: int, rows: int, found: "re.Match[str]") -> int:
    if abs(percent) > 100:
        raise ConfigError(f"split {found[0]!r}: {percent} % is more than all")
    if found["rounding"] != _PCT1:
        return round(percent * rows / 100)
    if rows < 100:
        raise ConfigError(f"split {found[0]!r}: {_PCT1} needs 100 rows, there are {rows}")
    return percent * (rows // 100)
