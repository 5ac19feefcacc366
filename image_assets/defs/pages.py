"""What the page of a shard or of the index shows: the contact sheet, what changed, how the images are spread."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import ImageAssetsError
from image_assets.core.sample import FAILED
from image_assets.defs.instance_events import last_metadata
from image_assets.defs.plain_tables import bars, changes_text, failures_text, plain, sheet_text
from image_assets.pipeline.contact_sheets import Sheet, index_sheet, shard_sheet
from image_assets.pipeline.detect import State
from image_assets.pipeline.histograms import Spread
from image_assets.pipeline.indexing import IndexReport
from image_assets.pipeline.preprocess import ShardReport
from image_assets.pipeline.run_changes import COLUMNS, NOTHING_CHANGED, Changes, index_changes, shard_changes
from image_assets.settings import Settings
from image_assets.storage.manifests import read_manifest
from image_assets.storage.store import Store

# What stays on a page as long as the state of the data does.
_STAYS = ("contact_sheet", "quarantine", "sizes", "brightness", "labels")
_SHOWN_LABELS = 12
# A database of Dagster that was lost gets its sheets back, and yet a run of thousands of quiet shards stays quick.
_MOST_MADE_AGAIN = 64


class ShardPages:
    """The pages of the shards of one run."""

    def __init__(self, context: dg.AssetExecutionContext, settings: Settings, asset: dg.AssetKey) -> None:
        self._context = context
        self._settings = settings
        self._asset = asset
        self._made_again = 0

    def of(self, report: ShardReport, state: State) -> Mapping[str, Any]:
        """Return what to show of a published shard; of one that did not change what is shown already."""
        if not report.unchanged:
            return self._made(report, state)
        nothing = {"what_changed": dg.MetadataValue.md(changes_text(NOTHING_CHANGED))}
        version = report.head.data_version
        kept = _kept(last_metadata(self._context.instance, self._asset, version, report.shard))
        if kept or self._made_again >= _MOST_MADE_AGAIN or not self._settings.contact_sheets.shard_images:
            return {**nothing, **kept}
        self._made_again += 1
        return self._made(report, None)

    def _made(self, report: ShardReport, state: State | None) -> Mapping[str, Any]:
        settings, head, store = self._settings, report.head, Store(self._settings.store)
        try:
            rows = read_manifest(store, head.shard, head.number, COLUMNS).rows
            changes = shard_changes(store, report, state, rows) if state is not None else NOTHING_CHANGED
            spread = Spread()
            spread.add(rows)
            sheet = shard_sheet(settings, store, rows, changes, head.recipe_id)
        except ImageAssetsError as error:
            return _not_shown(self._context, error)
        page = _page(changes, sheet, spread, f"shard {report.shard}")
        return {**page, **_quarantine(rows)}


def index_page(
    context: dg.AssetExecutionContext, settings: Settings, report: IndexReport, asset: dg.AssetKey
) -> Mapping[str, Any]:
    """Return what to show of an index; of one that stays as it was what is shown already."""
    head, store = report.head, Store(settings.store)
    changes = NOTHING_CHANGED
    if not report.published and (kept := _kept(last_metadata(context.instance, asset, head.data_version, None))):
        return {"what_changed": dg.MetadataValue.md(changes_text(changes)), **kept}
    try:
        if report.published:
            changes = index_changes(store, head)
        sheet, spread = index_sheet(settings, store, head, changes)
    except ImageAssetsError as error:
        return _not_shown(context, error)
    return _page(changes, sheet, spread, f"index {head.number} of {settings.name}")


def _kept(known: Mapping[str, dg.MetadataValue]) -> dict[str, dg.MetadataValue]:
    return {name: known[name] for name in _STAYS if name in known}


def _quarantine(rows: pa.Table) -> Mapping[str, Any]:
    counts = Counter(rows.filter(pc.equal(rows["status"], FAILED))["reason"].to_pylist())
    return {"quarantine": dg.MetadataValue.md(failures_text(counts.most_common()))} if counts else {}


def _page(changes: Changes, sheet: Sheet | None, spread: Spread, whole: str) -> Mapping[str, Any]:
    texts = {}
    if sheet is not None:
        # Of an index failed images are none, and yet they are shown.
        texts["contact_sheet"] = sheet_text(sheet, whole, max(spread.images, sheet.shown))
    texts["what_changed"] = changes_text(changes)
    if spread.images:
        labels, more = spread.most_frequent(_SHOWN_LABELS)
        texts["labels"] = bars("label", labels, f"… {more:,} more labels" if more else "")
        texts["sizes"] = bars("size of the raw image", spread.sizes)
    if sheet is not None and sheet.bars:
        shown = sum(count for _, count in sheet.bars)
        texts["brightness"] = bars("mean brightness", sheet.bars, f"Of the {shown:,} images on the contact sheet.")
    return {name: dg.MetadataValue.md(text) for name, text in texts.items()}


def _not_shown(context: dg.AssetExecutionContext, error: ImageAssetsError) -> Mapping[str, Any]:
    """Return a page that says why there is no picture: what only shows the data must not fail a run of theirs."""
    context.log.warning(f"no contact sheet: {error}")
    return {"contact_sheet": dg.MetadataValue.md(f"No contact sheet: {plain(str(error))}")}
