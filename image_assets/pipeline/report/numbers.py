"""What is said in numbers: labels, splits, growth, histograms, drift, checks."""

from collections.abc import Callable, Mapping, Sequence

from image_assets.core.dataset_statistics import HISTOGRAMS, Bins
from image_assets.core.drift import Drift, jensen_shannon, population_stability
from image_assets.core.plain_text import printable
from image_assets.core.words import counted, grouped, listed, moment, percent, size
from image_assets.pipeline.report.charts import Scale, bar, behind, histogram, merged_columns, table, timeline
from image_assets.pipeline.report.failures import FILE_BYTES
from image_assets.pipeline.report.galleries import NO_LABEL
from image_assets.pipeline.report.gathering import Gathered
from image_assets.pipeline.report.markup import Child, Markup, element, isolated, prose, together
from image_assets.pipeline.report.said import FAILED, PASSED, UNKNOWN, WARNED, Said

# Rows of a table; the others are counted.
_MOST_ROWS = 100
_SIGNS = {PASSED: "✓", WARNED: "▲", FAILED: "✕", UNKNOWN: "?"}
SCALES = {
    "size": Scale("Raw size", lambda value: f"{2**value:,.0f} px", ", the side of a square of as many pixels"),
    "aspect": Scale("Shape", lambda value: f"{2**value:.2f}", ", the longer side over the shorter"),
    "file_bytes": Scale("Raw files", lambda value: size(2**value)),
    "brightness": Scale("Brightness", lambda value: f"{value:.0f}", ", mean luma of an image, 0 to 255"),
    "blur": Scale("Blur", lambda value: f"{value:.2f}", ", 1 is as blurred as can be"),
    "colourfulness": Scale("Colourfulness", lambda value: f"{value:.0f}", ", 0 is grey, 30 usual"),
}


def label_table(found: Gathered) -> Markup:
    """Return how many images each label has."""
    named, images = found.counted.labels, found.counted.images
    if not named:
        return Markup()
    most = named[0].images
    rows: list[tuple[Child, ...]] = [
        (isolated(str(count.label)), grouped(count.images), percent(count.images, images), bar(count.images, most))
        for count in named[:_MOST_ROWS]
    ]
    if (rest := found.counted.label_count - len(rows)) > 0:
        others = images - found.counted.unlabelled - sum(count.images for count in named[:_MOST_ROWS])
        rows.append((f"{counted(rest, 'more label')}", grouped(others), percent(others, images), None))
    if found.counted.unlabelled:
        count = found.counted.unlabelled
        rows.append((element("em", NO_LABEL), grouped(count), percent(count, images), bar(count, most)))
    return table(
        ("label", "images", "share", "of the most frequent"),
        rows,
        caption="How many images each label has",
        numbers=(1, 2),
    )


def split_table(found: Gathered) -> Markup:
    """Return how many images are in each split, and of each label."""
    splits, images = found.counted.splits, found.counted.images
    rows = [(name, grouped(count), percent(count, images), bar(count, images)) for name, count in splits.items()]
    if unsplit := images - sum(splits.values()):
        rows.append(("in none", grouped(unsplit), percent(unsplit, images), bar(unsplit, images)))
    whole = table(("split", "images", "share", "of all"), rows, caption="Images by split", numbers=(1, 2))
    by_label = [
        (isolated(str(count.label)), *(grouped(count.splits.get(name, 0)) for name in splits))
        for count in found.counted.labels[:_MOST_ROWS]
    ]
    if not by_label:
        return whole
    numbers = tuple(range(1, len(splits) + 1))
    caption = "Images by label and split"
    return together(whole, behind("By label", table(("label", *splits), by_label, caption=caption, numbers=numbers)))


def growth_charts(found: Gathered) -> Markup:
    """Return how many images there were at each snapshot, and how many failed."""
    points = found.growth.points
    moments = [point.created_at for point in points]
    charts = None
    if len(points) > 1:
        charts = element(
            "div",
            timeline(moments, [point.images for point in points], "Images", "good"),
            timeline(moments, [point.failed for point in points], "Failed images", "bad"),
            class_="charts",
        )
    rows = [
        (
            element("code", point.number), moment(point.created_at), grouped(point.images), grouped(point.failed),
            element("code", point.digest[:12]), "new recipe" if point.new_recipe else "",
        )
        for point in reversed(points)
    ]  # fmt: skip
    head = ("snapshot", "published", "images", "failed", "digest", "note")
    shown = table(head, rows, caption="Snapshots, the newest first", numbers=(2, 3))
    said = f"{counted(found.growth.kept, 'snapshot is', 'snapshots are')} kept"
    if found.growth.kept > len(points):
        said += f", of which the newest {len(points)} are shown"
    tail = "" if len(points) > 1 else " Growth is drawn from two snapshots on."
    note = f"{said}; what `image-assets vacuum` removed is not in here.{tail}"
    return together(element("p", prose(note)), charts, behind("Show as a table", shown) if charts else shown)


def size_charts(found: Gathered) -> Markup:
    """Return the histograms of sizes, and of brightness, blur and colourfulness where they are measured."""
    counts: dict[str, tuple[Bins, tuple[int, ...]]] = {
        name: (HISTOGRAMS[name], histogram_counts) for name, histogram_counts in found.counted.histograms.items()
    }
    counts["file_bytes"] = (FILE_BYTES, found.raw.file_bytes)
    if found.quality is not None:
        measured = found.quality.statistics.whole.histograms
        counts |= {name: (HISTOGRAMS[name], measured[name]) for name in ("brightness", "blur", "colourfulness")}
    charts = [
        histogram(merged_columns(bins_counts, _edges(bins)), SCALES[name])
        for name, (bins, bins_counts) in counts.items()
    ]
    return together(element("div", charts, class_="charts"), _kinds(found))


def drift_charts(found: Gathered) -> Markup:
    """Return how images and labels differ from those of the snapshot that they are compared with."""
    quality = found.quality
    if quality is None or quality.statistics.baseline is None:
        return Markup()
    now, then, number = quality.statistics.whole, quality.statistics.baseline, quality.statistics.head.baseline_number
    charts = []
    distances: list[tuple[Child, ...]] = []
    for name in HISTOGRAMS:
        if not sum(now.histograms[name]) or not sum(then.histograms[name]):
            continue
        columns = merged_columns(now.histograms[name], _edges(HISTOGRAMS[name]), then.histograms[name])
        charts.append(histogram(columns, SCALES[name], now="this snapshot", before=f"snapshot {number}"))
        drift = population_stability(then.histograms[name], now.histograms[name])
        distances.append((SCALES[name].title, f"PSI {drift.distance:.3f}", *_beside_chance(drift)))
    if now.labels and then.labels:
        drift = jensen_shannon(then.labels, now.labels)
        distances.append(("Labels", f"Jensen-Shannon {drift.distance:.3f}", *_beside_chance(drift)))
    caption = f"How far this snapshot is from snapshot {number}"
    shown = table(("of", "distance", "by chance at most", "so it"), distances, caption=caption, numbers=(1, 2))
    return together(shown, element("div", charts, class_="charts"), _label_shares(now.labels, then.labels, number))


def check_results(found: Gathered) -> Markup:
    """Return what the checks said: those that want attention one by one, the others counted."""
    grouped_by: dict[tuple[str, str], list[Said]] = {}
    for one in found.said:
        grouped_by.setdefault((one.outcome, one.check), []).append(one)
    loud = [element("li", _check(some)) for (outcome, _), some in grouped_by.items() if outcome in (FAILED, WARNED)]
    quiet = [some for (outcome, _), some in grouped_by.items() if outcome in (UNKNOWN, PASSED)]
    blocks: list[Child] = [element("ul", loud, class_="checks", role="list") if loud else None]
    if quiet:
        rows = [(some[0].check.replace("_", " "), outcome_badge(some[0].outcome), _of_subjects(some)) for some in quiet]
        summary = f"{counted(sum(map(len, quiet)), 'check')} passed or had nothing to judge"
        blocks.append(behind(summary, table(("check", "outcome", "what it said"), rows, caption="Checks")))
    return together(blocks)


def outcome_badge(outcome: str) -> Markup:
    """Return an outcome as a sign and a word."""
    sign = element("span", _SIGNS[outcome], aria_hidden="true")
    return element("span", sign, " ", outcome, class_=f"badge {outcome.replace(' ', '-')}")


def _check(some: Sequence[Said]) -> Markup:
    """Return what one check said of everything that it judged alike."""
    first = some[0]
    of = first.subject if len(some) == 1 else counted(len(some), "shard")
    heading = [outcome_badge(first.outcome), " ", element("strong", first.check.replace("_", " ")), " "]
    rows = [(one.subject, _sentence(one)) for one in some[:_MOST_ROWS]]
    more = f"{len(rows)} of {grouped(len(some))} are shown." if len(some) > len(rows) else None
    caption = f"What {first.check.replace('_', ' ')} said"
    return together(
        heading,
        element("small", of.replace("_", " ")),
        element("p", f"{first.subject}: " if len(some) > 1 else None, _sentence(first)),
        behind("Of each", table(("of", "what it said"), rows, caption=caption), element("p", more) if more else None)
        if len(some) > 1
        else None,
    )


def _of_subjects(some: Sequence[Said]) -> Child:
    said = _sentence(some[0])
    return said if len(some) == 1 else together(f"{counted(len(some), 'time')}; of {some[0].subject}: ", said)


def _sentence(said: Said) -> Markup:
    return element("bdi", prose(printable(said.sentence)))


def _kinds(found: Gathered) -> Markup:
    formats = listed([f"{name} ({grouped(count)})" for name, count in list(found.counted.formats.items())[:12]])
    flags = listed([f"{name.replace('_', ' ')} ({grouped(count)})" for name, count in found.counted.flags.items()])
    return together(
        element("p", "Raw formats: ", formats or "none", "."),
        element("p", "Worth knowing of images that are fine: ", flags, ".") if flags else None,
    )


def _beside_chance(drift: Drift) -> tuple[str, str]:
    return f"{drift.by_chance:.3f}", "moved" if drift.distance > drift.by_chance else "may be chance"


def _label_shares(now: Mapping[str, int], then: Mapping[str, int], number: int) -> Markup:
    names = sorted(now.keys() | then.keys(), key=lambda name: (-now.get(name, 0), name))
    if not names:
        return Markup()
    totals = sum(now.values()), sum(then.values())
    rows = [
        (isolated(name), percent(then.get(name, 0), totals[1]), percent(now.get(name, 0), totals[0]))
        for name in names[:_MOST_ROWS]
    ]
    caption = "Shares of the labels, then and now"
    return behind(caption, table(("label", f"snapshot {number}", "now"), rows, caption=caption, numbers=(1, 2)))


def _edges(bins: Bins) -> Callable[[int], float]:
    return lambda place: bins.first + place * bins.width
