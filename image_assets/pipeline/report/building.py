"""Writing the report: into the store as long as it is not true any more, or to a file for somebody."""

import hashlib
import html
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from image_assets.checks.base import Verdict
from image_assets.core.errors import StoreError
from image_assets.core.index import IndexHead
from image_assets.formats.publishing import published_whole
from image_assets.pipeline.report.gathering import Gathered, gather
from image_assets.pipeline.report.page import STATE_NAME, report_page
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.auto_labels import read_auto_labels_head
from image_assets.storage.identity import look_into_store, open_store
from image_assets.storage.indexes import index_numbers, published_head
from image_assets.storage.locks import in_use
from image_assets.storage.perceptual import read_duplicates_head
from image_assets.storage.quality import read_statistics
from image_assets.storage.store import Store
from image_assets.storage.verdicts import read_verdicts

# Raised whenever the same dataset begins to give another page.
REPORT_VERSION = 1
# Of the file, the state stands in the first bytes.
_STATE_BYTES = 4096
_STATE = re.compile(rf'<meta name="{STATE_NAME}" content="([^"]*)">')
# Followers whose checks or files are shown.
SHOWN_FOLLOWERS = ("duplicate_groups", "feature_vectors", "image_quality")


@dataclass(frozen=True, slots=True)
class ReportState:
    """What a page says of itself: of which index it is, a word for all that it shows, and what it holds."""

    index_number: int
    index_digest: str
    word: str
    images: int
    pictures: int
    pictures_left_out: int


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """The report in the store after this step; ``size_bytes`` is 0 when it was true already and was left as it is."""

    state: ReportState
    place: str
    size_bytes: int
    verdicts: tuple[Verdict, ...] = ()

    @property
    def index_digest(self) -> str:
        """The digest of the index that it is of."""
        return self.state.index_digest

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Where it is and what it shows."""
        state = self.state
        written = {"size_bytes": self.size_bytes} if self.size_bytes else {}
        return {
            "report": self.place,
            "images": state.images,
            "pictures": state.pictures,
            "pictures_left_out": state.pictures_left_out,
            **written,
            "index_number": state.index_number,
            "index_digest": state.index_digest,
        }


def build_report(settings: Settings) -> DatasetReport:
    """Bring ``report.html`` in line with the newest index and what is made of it.

    The same dataset gives the same bytes; of failed images it shows what the source holds when it is written.

    Raises:
        DatasetError: there is no index yet.
        StoreError: the store does not answer or a file is damaged.
        EngineError: no worker can be started to decode failed images.
    """
    with in_use(store := open_store(settings)):
        index = published_head(store)
        place = f"{store.url.rstrip('/')}/{layout.REPORT}"
        word = _word(settings, store, index)
        before = _state_in(store)
        if before is not None and before.word == word:
            return DatasetReport(before, place, 0)
        state, page = _written(settings, store, index, word)
        store.put(layout.REPORT, page)
    return DatasetReport(state, place, len(page))


def write_report(settings: Settings, path: Path) -> dict[str, Any]:
    """Write the report of the newest index to a file, nothing to the store, and return what to say of it.

    Raises:
        DatasetError: nothing was published.
        StoreError: the store does not answer or a file is damaged.
        EngineError: no worker can be started to decode failed images.
        OSError: the file cannot be written.
    """
    store = look_into_store(settings)
    index = published_head(store)
    state, page = _written(settings, store, index, _word(settings, store, index))
    with published_whole(path) as part:
        part.write_bytes(page)
    said = asdict(state)
    said.pop("word")
    return {"dataset": settings.name, "report": str(path), "size_bytes": len(page), **said}


def report_version(settings: Settings) -> str:
    """Return one word for what of the settings and the method decides what a report shows."""
    shown = {
        "version": REPORT_VERSION,
        "report": settings.report.model_dump(mode="json", exclude={"enabled"}),
        "duplicates": settings.duplicates.model_dump(mode="json"),
        "quality": settings.quality.model_dump(mode="json"),
        "auto_labels": settings.auto_labels.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]


def _word(settings: Settings, store: Store, index: IndexHead) -> str:
    """Return one word for all that a report shows but what is left of failed images."""
    quality, duplicates, told = read_statistics(store), read_duplicates_head(store), read_auto_labels_head(store)
    verdicts = [{**row, "at": None} for row in read_verdicts(store).to_pylist()]
    parts = [
        report_version(settings),
        settings.store,
        settings.source.path,
        index.digest,
        index.created_at,
        index.recipe_id,
        [number for number in index_numbers(store) if number <= index.number],
        asdict(quality.head) if quality else None,
        asdict(duplicates) if duplicates else None,
        asdict(told) if told else None,
        verdicts,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _written(settings: Settings, store: Store, index: IndexHead, word: str) -> tuple[ReportState, bytes]:
    found: Gathered = gather(settings, store, index, SHOWN_FOLLOWERS)
    album = found.album
    state = ReportState(index.number, index.digest, word, found.counted.images, album.count, album.left_out)
    page = report_page(found, json.dumps(asdict(state), sort_keys=True))
    # A folder's name may be no text.
    return state, page.encode("utf-8", "backslashreplace")


def _state_in(store: Store) -> ReportState | None:
    """Return what the report in the store says of itself, None when there is none, or none that is whole."""
    try:
        if not store.exists(layout.REPORT):
            return None
        with store.open(layout.REPORT) as file:
            text = bytes(file.read(_STATE_BYTES)).decode("utf-8", "replace")
        found = _STATE.search(text)
        return ReportState(**json.loads(html.unescape(found[1]))) if found else None
    except (StoreError, OSError, ValueError, TypeError):
        # It is written anew.
        return None
