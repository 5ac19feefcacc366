"""Charts as SVG without any text in it: what they say stands beside them, and in a table behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from image_assets.core.words import grouped, percent
from image_assets.pipeline.report.markup import Child, Markup, element, together

_MOST_COLUMNS = 32
# The view box; charts are as wide as their place, and lines keep their width.
_WIDTH, _HEIGHT = 1000.0, 300.0
_SPAN_S = 1.0


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a histogram: values from ``first`` up to and not including ``end``; ``before`` of another time."""

    first: float
    end: float
    count: int
    before: int = 0


@dataclass(frozen=True, slots=True)
class Scale:
    """What a histogram is of: its name, how a value is written, and words about it where it needs some."""

    title: str
    write: Callable[[float], str]
    what: str = ""


def merged_columns(
    counts: Sequence[int], edge: Callable[[int], float], before: Sequence[int] | None = None
) -> list[Column]:
    """Return the bins from the first to the last that has anything, neighbours put together where there are many."""
    both = before if before is not None else [0] * len(counts)
    used = [place for place, (now, then) in enumerate(zip(counts, both, strict=True)) if now or then]
    if not used:
        return []
    first, end = used[0], used[-1] + 1
    step = -(-(end - first) // _MOST_COLUMNS)
    return [
        Column(
            edge(place), edge(min(place + step, end)), sum(counts[place : min(place + step, end)]),
            sum(both[place : min(place + step, end)]),
        )
        for place in range(first, end, step)
    ]  # fmt: skip


def histogram(columns: Sequence[Column], scale: Scale, now: str = "", before: str = "") -> Markup:
    """Return a figure: columns, what they are of, and a table; with ``before`` as shares beside another's outline.

    Args:
        now: what the columns are of, and ``before`` the outline; empty without one.
    """
    if not columns:
        return element("p", f"{scale.title}: nothing to show.", class_="quiet")
    total, total_before = sum(column.count for column in columns), sum(column.before for column in columns)
    shares = [column.count / max(total, 1) for column in columns]
    then = [column.before / max(total_before, 1) for column in columns]
    top = max([*shares, *then, 1e-9])
    middle = _middle(columns)
    text = (
        f"{scale.title}: from {scale.write(columns[0].first)} to {scale.write(columns[-1].end)}, "
        f"half of the images below {scale.write(middle)}"
    )
    shapes = [_columns(shares, top), _outline(then, top) if before else None]
    legend = element("p", _key("filled"), now, " ", _key("line"), before, class_="legend") if before else None
    return element(
        "figure",
        element("figcaption", element("strong", scale.title), f"Median {scale.write(middle)}{scale.what}"),
        _svg(text, shapes, "histogram"),
        _axis(scale.write(columns[0].first), scale.write(columns[-1].end)),
        legend,
        _histogram_table(columns, scale, (now, before), (total, total_before)),
        class_="chart",
    )


def timeline(moments: Sequence[str], values: Sequence[int], title: str, kind: str) -> Markup:
    """Return a line over time as a figure; ``kind`` is its class, which decides its colour and pattern.

    Args:
        moments: UTC in ISO 8601, in order, at least one.
    """
    seconds = [datetime.fromisoformat(moment).timestamp() for moment in moments]
    span_s = seconds[-1] - seconds[0]
    top = max(*values, 1)
    # Points of one second stand beside each other.
    xs = [
        _WIDTH * ((at - seconds[0]) / span_s if span_s > _SPAN_S else place / max(len(seconds) - 1, 1))
        for place, at in enumerate(seconds)
    ]
    points = [(x, _HEIGHT - _HEIGHT * 0.94 * value / top) for x, value in zip(xs, values, strict=True)]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    first, last = (_day_or_time(moment, moments) for moment in (moments[0], moments[-1]))
    text = f"{title}: {grouped(values[0])} on {first}, {grouped(values[-1])} on {last}"
    return element(
        "figure",
        element("figcaption", element("strong", title), f" {grouped(values[-1])} now, {grouped(max(values))} at most"),
        _svg(
            text,
            [
                element("path", d=f"{line}L{xs[-1]:.1f} {_HEIGHT:.0f}L{xs[0]:.1f} {_HEIGHT:.0f}Z", class_="area"),
                element("path", d=line, class_="stroke"),
                # A line of no length with a round end is a point that keeps its shape.
                [element("path", d=f"M{x:.1f} {y:.1f}h.01", class_="point") for x, y in points],
            ],
            f"timeline {kind}",
        ),
        _axis(first, last),
        class_="chart",
    )


def bar(part: float, whole: float) -> Markup:
    """Return a bar for a cell of a table, whose number stands in another one."""
    share = 100 * part / whole if whole else 0
    shape = element("rect", width=f"{max(share, 0.4 if part else 0):.2f}", height=10, class_="filled")
    return element("svg", shape, viewBox="0 0 100 10", preserveAspectRatio="none", class_="bar", aria_hidden="true")


def table(
    head: Sequence[Child], rows: Sequence[Sequence[Child]], *, caption: str, numbers: Sequence[int] = ()
) -> Markup:
    """Return a table in a box of its own that scrolls; the first cell of each row names it.

    Args:
        numbers: the columns that hold numbers.
    """

    def cell(tag: str, place: int, child: Child, **attributes: str) -> Markup:
        return element(tag, child, class_="number" if place in numbers else None, **attributes)

    heads = [cell("th", place, child, scope="col") for place, child in enumerate(head)]
    body = [
        element(
            "tr",
            cell("th", 0, row[0], scope="row"),
            [cell("td", place, child) for place, child in enumerate(row[1:], start=1)],
        )
        for row in rows
    ]
    content = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", heads)),
        element("tbody", body),
    )
    # Whoever has only a keyboard scrolls a box that can have the focus.
    return element("div", content, class_="scroll", tabindex=0, role="group", aria_label=caption)


def behind(summary: str, *children: Child) -> Markup:
    """Return what is shown when it is asked for."""
    return element("details", element("summary", summary), *children)


def _day_or_time(moment: str, moments: Sequence[str]) -> str:
    return moment[:10] if moments[0][:10] != moments[-1][:10] else f"{moment[:10]} {moment[11:19]}"


def _svg(text: str, shapes: Child, kind: str) -> Markup:
    return element(
        "svg",
        shapes,
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        preserveAspectRatio="none",
        role="img",
        aria_label=text,
        class_=kind,
    )


def _axis(first: str, last: str) -> Markup:
    return element("div", element("span", first), element("span", last), class_="axis", aria_hidden="true")


def _columns(shares: Sequence[float], top: float) -> Markup:
    width = _WIDTH / len(shares)
    return together(
        element(
            "rect",
            x=f"{place * width + width * 0.06:.1f}",
            y=f"{_HEIGHT * (1 - share / top):.1f}",
            width=f"{width * 0.88:.1f}",
            height=f"{_HEIGHT * share / top:.1f}",
            class_="filled",
        )
        for place, share in enumerate(shares)
        if share
    )


def _outline(shares: Sequence[float], top: float) -> Markup:
    width = _WIDTH / len(shares)
    heights = [_HEIGHT * (1 - share / top) for share in shares]
    steps = "".join(f"V{height:.1f}H{(place + 1) * width:.1f}" for place, height in enumerate(heights))
    return element("path", d=f"M0 {_HEIGHT:.0f}{steps}V{_HEIGHT:.0f}", class_="outline")


def _key(kind: str) -> Markup:
    return element("span", class_=f"key {kind}", aria_hidden="true")


def _middle(columns: Sequence[Column]) -> float:
    has_any = any(column.count for column in columns)
    counts = [column.count if has_any else column.before for column in columns]
    so_far, half = 0, sum(counts) / 2
    for column, count in zip(columns, counts, strict=True):
        so_far += count
        if so_far >= half:
            return (column.first + column.end) / 2
    return columns[-1].end


def _histogram_table(
    columns: Sequence[Column], scale: Scale, names: tuple[str, str], totals: tuple[int, int]
) -> Markup:
    head: list[Child] = ["values", "images", "share"]
    if names[1]:
        head += [names[1]]
    rows: list[list[Child]] = []
    for column in columns:
        row: list[Child] = [f"{scale.write(column.first)} to {scale.write(column.end)}", grouped(column.count)]
        row.append(percent(column.count, totals[0]))
        rows.append([*row, percent(column.before, totals[1])] if names[1] else row)
    caption = f"{scale.title}, images and shares" + (f" beside those of {names[1]}" if names[1] else "")
    return behind("Show as a table", table(head, rows, caption=caption, numbers=(1, 2, 3)))
