"""The page itself: what stands where, and what keeps it from asking anybody for anything."""

import base64
import hashlib
from importlib.resources import files

from image_assets.core.words import counted, grouped, listed, moment, percent, size
from image_assets.pipeline.report.gathering import Gathered
from image_assets.pipeline.report.markup import Child, Markup, element, isolated
from image_assets.pipeline.report.said import FAILED, UNKNOWN, WARNED
from image_assets.pipeline.report.sections import report_sections

STATE_NAME = "image-assets-report"
_BROKEN = "M4 3h16v11l-4-3-4 4-4-4-4 4zM4 18l4-4 4 4 4-4 4 3v4H4z"


def report_page(found: Gathered, state: str) -> str:
    """Return the report as HTML.

    Args:
        state: what is kept in the page's head, to tell later whether it is still true.
    """
    style, script = (_own_file(name) for name in ("style.css", "comfort.js"))
    sections = report_sections(found)
    title = f"{found.index.dataset}: dataset report"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name=STATE_NAME, content=state),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("title", title),
        element("style", Markup(style)),
    )
    links = [element("li", element("a", name, href=f"#{anchor}")) for anchor, name, _ in sections]
    body = element(
        "body",
        element("a", "Skip to the report", href="#report", class_="skip"),
        _icons(),
        _header(found),
        element("nav", element("h2", "Contents"), element("ul", links, role="list"), aria_label="Contents"),
        element("main", [_section(*section) for section in sections], id="report", tabindex=-1),
        _footer(found),
        element("script", Markup(script)),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _section(anchor: str, name: str, content: Child) -> Markup:
    return element(
        "section", element("h2", name, id=f"{anchor}-name"), content, id=anchor, aria_labelledby=f"{anchor}-name"
    )


def _header(found: Gathered) -> Markup:
    index, counts, raw = found.index, found.counted, found.raw
    failed = sum(raw.reasons.values())
    tiles = [
        ("images", grouped(counts.images), None if index.rows == counts.images else f"{grouped(index.rows)} outputs"),
        ("failed", grouped(failed), percent(failed, raw.images) if failed else None),
        (
            "labels",
            grouped(counts.label_count),
            f"{grouped(counts.unlabelled)} unlabelled" if counts.unlabelled else None,
        ),
        ("stored", size(raw.output_bytes), f"from {size(raw.raw_bytes)} of raw files"),
        ("snapshot", str(index.number), moment(index.created_at)),
        ("shards", grouped(index.num_shards), None),
    ]
    return element(
        "header",
        element("p", "Dataset report", class_="kicker"),
        element("h1", isolated(index.dataset)),
        element("p", _in_one_sentence(found), class_="lead"),
        element(
            "dl",
            [
                element(
                    "div",
                    element("dt", name),
                    element("dd", value),
                    element("dd", more, class_="more") if more else None,
                )
                for name, value, more in tiles
            ],
            class_="tiles",
        ),
        element("p", "Digest ", element("code", index.digest, class_="digest")),
    )


def _in_one_sentence(found: Gathered) -> str:
    failed = sum(found.raw.reasons.values())
    bad, warned = (len({one.check for one in found.said if one.outcome == outcome}) for outcome in (FAILED, WARNED))
    labels = found.counted.label_count
    first = counted(found.counted.images, "image")
    first += f" in {counted(labels, 'label')}" if labels else " without labels"
    first += f"; {grouped(failed)} failed. " if failed else "; none failed. "
    if bad or warned:
        some = [counted(bad, "failed check")] * bool(bad) + [counted(warned, "warning")] * bool(warned)
        return f"{first}{listed(some)} to look at."
    judged = sum(one.outcome != UNKNOWN for one in found.said)
    return first + (f"All {grouped(judged)} checks passed." if judged else "No check has judged it yet.")


def _footer(found: Gathered) -> Markup:
    left_out = found.album.left_out
    more = f" {counted(left_out, 'picture')} did not fit into report.max_mb ({found.settings.report.max_mb:g})."
    return element(
        "footer",
        element(
            "p",
            "This page needs no network and no script. It holds small pictures of the dataset: give it only to those "
            "who may see them.",
            more if left_out else None,
        ),
    )


def _icons() -> Markup:
    shape = element("symbol", element("path", d=_BROKEN), id="broken", viewBox="0 0 24 24")
    return element("svg", shape, class_="icons", aria_hidden="true")


def _own_file(name: str) -> str:
    return (files("image_assets.pipeline.report") / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Return a policy by which the page shows what is in it and does nothing else, whatever came into it."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )
