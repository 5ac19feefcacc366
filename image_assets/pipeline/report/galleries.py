"""Pictures with what is said of them: sheets by label, groups of duplicates, the worst images, failed ones."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from image_assets.core.plain_text import cut, printable
from image_assets.core.sample import REASONS
from image_assets.core.words import counted, grouped, moment, percent
from image_assets.pipeline.report.charts import behind, table
from image_assets.pipeline.report.counting import LabelCount
from image_assets.pipeline.report.doubts import Doubt
from image_assets.pipeline.report.failures import Failure
from image_assets.pipeline.report.gathering import Gathered
from image_assets.pipeline.report.markup import Child, Markup, element, isolated, prose, together
from image_assets.pipeline.report.pictures import Album
from image_assets.pipeline.report.rows import ShownImage
from image_assets.pipeline.report.twins import EXACT, Group, Twin
from image_assets.pipeline.thumbnails import Thumbnail

NO_LABEL = "without a label"
# Of each issue what it is, and how much of it an image has.
_ISSUES = {
    "dark": ("Even the brightest twentieth of the pixels is darker than this luma (0 to 255).", "luma {:.0f}"),
    "bright": ("So much of the picture is all but white.", "{:.0%} white"),
    "blurry": ("A further blur would change little; 1 is as blurred as can be.", "blur {:.2f}"),
    "low_information": ("There is next to nothing in the picture: of 8 bits of brightness so many.", "{:.2f} bits"),
    "odd_size": ("The raw file is so many times larger or smaller than the median.", "{:.1f} times"),
    "odd_aspect_ratio": ("The longer side of the raw image is so many times the shorter.", "{:.1f} to 1"),
    "grayscale": ("Grey in a dataset of colours; a colourfulness of 30 is usual.", "colour {:.1f}"),
    "wrong_extension": ("The name says another format than the bytes.", "wrong extension"),
}


def label_sheets(found: Gathered) -> Markup:
    """Return a sheet of pictures for each label that has one."""
    none = LabelCount(None, found.counted.unlabelled)
    counts = {count.label: count for count in (*found.counted.labels, none)}
    sheets = [_label_sheet(counts[label], images, found.album) for label, images in found.samples.items() if images]
    shown = sum(label is not None for label in found.samples)
    rest = found.counted.label_count - shown
    more = f"{counted(rest, 'more label')} without a sheet here (report.labels is {shown})." if rest > 0 else None
    return together(sheets, element("p", more, class_="quiet") if more else None)


def twin_groups(groups: Sequence[Group], album: Album) -> Markup:
    """Return groups of duplicates, the images of each side by side."""
    return together(_twin_group(group, album) for group in groups)


def worst_images(found: Gathered) -> Markup:
    """Return the worst images of each issue that any image has."""
    if found.quality is None:
        return Markup()
    sheets = []
    for name, images in found.quality.worst.items():
        if not images:
            continue
        count = found.quality.statistics.whole.issues.get(name, len(images))
        what, how_much = _ISSUES.get(name, (_sentence(name), name + " {:.3g}"))
        figures = [_figure(bad.image, found.album, [how_much.format(bad.value)]) for bad in images]
        heading = element("h3", _title(name), " ", _note(f"{counted(count, 'image')}, the worst first"))
        sheets.append(element("div", heading, element("p", what), _sheet(figures), class_="block"))
    return together(sheets)


def doubtful_labels(doubts: Sequence[Doubt], album: Album) -> Markup:
    """Return the images whose label is another one than that of the images like them."""
    figures = []
    for doubt in doubts:
        facts = [f"labelled {doubt.image.label}", f"like {doubt.told} ({doubt.confidence:.0%})"]
        figures.append(_figure(doubt.image, album, facts))
    return _sheet(figures)


def failed_images(found: Gathered) -> Markup:
    """Return the failed images by reason, with what they still show."""
    order = list(found.raw.reasons)
    ranked = sorted(found.raw.failures, key=lambda failure: (order.index(failure.reason), failure.key))
    blocks = []
    for reason, failures in groupby(ranked, key=lambda failure: failure.reason):
        some, count = list(failures), found.raw.reasons[reason]
        note = f"{counted(count, 'image')}, {percent(count, found.raw.images)} of all"
        heading = element("h3", _title(reason), " ", _note(note))
        more = f"{len(some)} of {grouped(count)} are shown; `image-assets quarantine` lists all."
        blocks.append(
            element(
                "div",
                heading,
                element("p", _sentence(REASONS.get(reason, "a reason of another version"))),
                _sheet([_failure(failure, found.album) for failure in some]),
                element("p", prose(more), class_="quiet") if count > len(some) else None,
                _failure_table(some, reason),
                class_="block",
            )
        )
    return together(blocks)


def _label_sheet(count: LabelCount, images: Sequence[ShownImage], album: Album) -> Markup:
    name: Child = element("span", NO_LABEL) if count.label is None else isolated(count.label)
    shown = "all shown" if count.images == len(images) else f"{len(images)} shown"
    heading = element("h3", name, " ", _note(f"{counted(count.images, 'image')}, {shown}"))
    figures = _sheet(_figure(image, album) for image in images)
    return element("details", element("summary", heading), figures, open=True, class_="block")


def _twin_group(group: Group, album: Album) -> Markup:
    alike = "the same" if group.kind == EXACT else "alike"
    note = f"{len(group.twins)} shown" if group.size > len(group.twins) else "all shown"
    heading = element("h4", f"{counted(group.size, 'image')} {alike} ", _note(note))
    different = ", ".join(group.differences)
    says = f"What differs: {different}." if different else "Nothing differs but the name."
    figures = _sheet(_figure(twin.image, album, _twin_facts(twin), whole_name=True) for twin in group.twins)
    return element("div", heading, element("p", says), figures, class_="block twins")


def _twin_facts(twin: Twin) -> list[str]:
    distance = "same pixels" if twin.kind == EXACT else f"{counted(twin.distance_bits, 'bit')} away"
    return [_size(twin.image), NO_LABEL if twin.image.label is None else twin.image.label, distance]


def _figure(image: ShownImage, album: Album, facts: Sequence[str] = (), *, whole_name: bool = False) -> Markup:
    """Return an image with its name and what is said of it; where nothing is said, its size."""
    label = NO_LABEL if image.label is None else cut(image.label, 60)
    name = image.key if whole_name else image.key.rsplit("/", 1)[-1]
    says = [_fact(fact) for fact in facts or [_size(image)]]
    caption = element("figcaption", isolated(name, class_="name", title=image.key), says)
    alternative = f"{label}, {_short(image.key)}, {_size(image)}"
    return element("figure", _picture(album.outputs.get(image.place), alternative), caption)


def _size(image: ShownImage) -> str:
    return f"{image.raw_width_px}×{image.raw_height_px}"  # noqa: RUF001  the sign that people write


def _failure(failure: Failure, album: Album) -> Markup:
    thumbnail = album.failed.get(failure.key)
    if thumbnail is None:
        icon = element("use", href="#broken")
        says = f"{failure.reason}, {_short(failure.key)}, no picture"
        picture = element("svg", icon, role="img", aria_label=says, viewBox="0 0 24 24", class_="broken")
    else:
        picture = _picture(thumbnail, f"{failure.reason}, {_short(failure.key)}, what is left of it")
    day = element("span", failure.first_seen[:10], class_="day") if failure.first_seen else "when is not known"
    name = isolated(failure.key.rsplit("/", 1)[-1], class_="name", title=failure.key)
    return element("figure", picture, element("figcaption", name, element("span", "since ", day, class_="fact")))


def _failure_table(failures: Sequence[Failure], reason: str) -> Markup:
    rows = [
        (
            isolated(failure.key),
            isolated(failure.detail or "no further word"),
            moment(failure.first_seen) if failure.first_seen else "not known",
            failure.attempts,
        )
        for failure in failures
    ]
    caption = f"Images that failed: {reason.replace('_', ' ')}"
    return behind("Details", table(("key", "what was found", "since", "tries"), rows, caption=caption, numbers=(3,)))


def _picture(thumbnail: Thumbnail | None, alternative: str) -> Markup:
    if thumbnail is None:
        return element("span", "left out", role="img", aria_label=f"{alternative}, picture left out", class_="left-out")
    return element(
        "img",
        src=thumbnail.data_uri,
        alt=alternative,
        width=thumbnail.width_px,
        height=thumbnail.height_px,
        loading="lazy",
        decoding="async",
    )


def _sheet(figures: Iterable[Markup]) -> Markup:
    # Safari takes a list without bullets for none, but where it is said that it is one.
    return element("ul", [element("li", figure) for figure in figures], class_="sheet", role="list")


def _note(text: str) -> Markup:
    return element("small", text)


def _fact(fact: str) -> Markup:
    return isolated(fact, class_="fact")


def _title(code: str) -> str:
    return code.replace("_", " ").capitalize()


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _short(key: str) -> str:
    """Return the name in a key, of a long one its beginning and its end."""
    name = printable(key.rsplit("/", 1)[-1])
    return name if len(name) <= 32 else f"{name[:16]}…{name[-12:]}"
