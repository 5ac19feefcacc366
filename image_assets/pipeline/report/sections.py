"""The sections of a report: what each says, or in one line why it says nothing and what would change that."""

from importlib.metadata import version

from image_assets.core.plain_text import printable
from image_assets.core.words import counted, grouped, moment, percent
from image_assets.pipeline.report.galleries import (
    doubtful_labels,
    failed_images,
    label_sheets,
    twin_groups,
    worst_images,
)
from image_assets.pipeline.report.gathering import Gathered
from image_assets.pipeline.report.markup import Child, Markup, element, isolated, prose, together
from image_assets.pipeline.report.numbers import (
    check_results,
    drift_charts,
    growth_charts,
    label_table,
    outcome_badge,
    size_charts,
    split_table,
)
from image_assets.pipeline.report.recipe_words import recipe_words
from image_assets.pipeline.report.twins import EXACT


def report_sections(found: Gathered) -> list[tuple[str, str, Child]]:
    """Return anchor, name and content of each section, in the order of the page."""
    return [
        ("checks", "Checks", _checks(found)),
        ("labels", "Images by label", _labels(found)),
        ("growth", "Growth", growth_charts(found)),
        ("sizes", "Sizes and light", _sizes(found)),
        ("splits", "Splits", _splits(found)),
        ("duplicates", "Duplicates", _duplicates(found)),
        ("quality", "Quality", _quality(found)),
        ("doubts", "Doubtful labels", _doubts(found)),
        ("drift", "Drift", _drift(found)),
        ("quarantine", "Quarantine", _quarantine(found)),
        ("provenance", "Where it comes from", _provenance(found)),
    ]


def _checks(found: Gathered) -> Child:
    if not found.said:
        return _off("No check has judged this dataset yet; `image-assets run` does.")
    return check_results(found)


def _labels(found: Gathered) -> Child:
    if not found.counted.images:
        return _off("There is no image in this snapshot.")
    without = None
    if not found.counted.labels:
        without = _off("No image has a label: `labels.kind` in the settings says where labels come from.")
    return together(without, label_table(found), label_sheets(found))


def _sizes(found: Gathered) -> Child:
    off = None
    if found.quality is None:
        off = _off(f"Brightness, blur and colourfulness are not measured: {_why_no_quality(found)}")
    return together(size_charts(found), off)


def _splits(found: Gathered) -> Child:
    if not found.counted.splits:
        return _off("There are no splits; `splits.method: fractions` makes some.")
    return split_table(found)


def _duplicates(found: Gathered) -> Child:
    if found.twins is None:
        if not found.settings.duplicates.enabled:
            return _off("Duplicates are not looked for; `duplicates.enabled: true` does.")
        return _off("The groups of duplicates are not those of this snapshot; `image-assets duplicates` finds them.")
    head = found.twins.head
    said = (
        f"{counted(head.groups, 'group')}: {counted(head.exact, 'image')} with the same pixels as another one, "
        f"{counted(head.near, 'image')} all but the same (up to {counted(head.distance_bits, 'bit')} of 64 apart)."
    )
    same = [group for group in found.twins.groups if group.kind == EXACT]
    alike = [group for group in found.twins.groups if group.kind != EXACT]
    blocks = [
        together(element("h3", name), element("div", twin_groups(groups, found.album), class_="groups"))
        for name, groups in (("The same", same), ("Nearly the same", alike))
        if groups
    ]
    rest = head.groups - len(found.twins.groups)
    more = f"{counted(rest, 'smaller group')} not shown; `image-assets duplicates` lists all."
    return together(element("p", said), blocks, element("p", prose(more), class_="quiet") if rest > 0 else None)


def _quality(found: Gathered) -> Child:
    if found.quality is None:
        return _off(f"The quality is not measured: {_why_no_quality(found)}")
    sheets = worst_images(found)
    channels = found.quality.statistics.whole.channel_statistics
    numbers = None
    if channels is not None:
        mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (channels.mean, channels.std))
        numbers = element(
            "p", "Of all pixels, channel by channel (0 to 1): mean ", mean, "; standard deviation ", std, "."
        )
    return together(numbers, sheets or element("p", "No image has an issue."))


def _doubts(found: Gathered) -> Child:
    if found.doubts is None:
        if not found.settings.auto_labels.enabled:
            return _off(
                "Labels are not compared with those of the images most like them; `auto_labels.enabled: true` does."
            )
        return _off("The told labels are not those of this snapshot; `image-assets auto-labels` tells them again.")
    head = found.doubts.head
    said = (
        f"{grouped(head.agreeing)} of {counted(head.told, 'image')} have the label of the images most like them "
        f"({percent(head.agreeing, head.told)}). "
    )
    if not found.doubts.doubts:
        return element("p", said + "None has another one.")
    more = f"Here are the {len(found.doubts.doubts)} where another label is surest; a person has to judge."
    return together(element("p", said + more), doubtful_labels(found.doubts.doubts, found.album))


def _drift(found: Gathered) -> Child:
    if found.quality is None:
        return _off(f"Drift is not known: {_why_no_quality(found)}")
    head = found.quality.statistics.head
    if found.quality.statistics.baseline is None:
        return element("p", f"Nothing to compare with: {head.baseline_note}.", class_="quiet")
    note = " It was made with another recipe." if head.baseline_recipe_id != head.recipe_id else ""
    return together(element("p", f"Compared with snapshot {head.baseline_number}.{note}"), drift_charts(found))


def _quarantine(found: Gathered) -> Child:
    if not found.raw.reasons:
        return element("p", outcome_badge("passed"), " No image of this snapshot failed.")
    said = (
        "These have no output and are tried again when their bytes or the decoder change. "
        "What a check refused to publish is not here: `image-assets quarantine` lists that too."
    )
    return together(element("p", prose(said)), failed_images(found))


def _provenance(found: Gathered) -> Child:
    index = found.index
    recipe: Child = [element("li", sentence) for sentence in recipe_words(found.settings)]
    if not found.same_recipe:
        recipe = element("li", "The settings are not those that these images were made with any more.")
    code = (
        "from image_assets import open_dataset\n"
        f"dataset = open_dataset({printable(found.settings.store)!r}, snapshot={index.digest[:16]!r})\n"
        'print(len(dataset), dataset[0]["key"], dataset[0]["image"].shape)'
    )
    return together(
        element("h3", "How the images were made"),
        element("ul", recipe),
        element("h3", "How to read them"),
        element("pre", element("code", code), tabindex=0, role="group", aria_label="How to read the dataset in Python"),
        element("h3", "What this report is of"),
        element(
            "dl",
            _fact("Dataset", isolated(index.dataset)),
            _fact("Source", isolated(found.settings.source.path)),
            _fact("Store", isolated(found.settings.store)),
            _fact("Snapshot", f"{index.number}, published {moment(index.created_at)}"),
            _fact("Digest", element("code", index.digest, class_="digest")),
            _fact("Recipe", element("code", index.recipe_id)),
            _fact("Written by", f"image_assets {version('image-assets')}"),
            class_="facts",
        ),
    )


def _why_no_quality(found: Gathered) -> str:
    if found.settings.quality.enabled:
        return "what was measured is of another snapshot; `image-assets quality` measures this one."
    return "`quality.enabled: true` does."


def _fact(name: str, value: Child) -> Markup:
    return element("div", element("dt", name), element("dd", value))


def _off(text: str) -> Markup:
    """Return a sentence about what is not there."""
    return element("p", prose(text), class_="off")
