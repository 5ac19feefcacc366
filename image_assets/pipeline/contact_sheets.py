"""One small picture of many images, of a shard or of an index: what a run changed first, then a stable sample."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.index import IndexHead
from image_assets.core.manifest import MANIFEST_SCHEMA
from image_assets.core.sample import FAILED, REASONS
from image_assets.pipeline.histograms import Bars, Spread, brightness
from image_assets.pipeline.run_changes import Change, Changes
from image_assets.pipeline.thumbnails import (
    FailedImage,
    Thumbnail,
    contact_sheet,
    encode_thumbnail,
    thumbnails_of_failed,
    thumbnails_of_rows,
)
from image_assets.settings import Settings
from image_assets.storage.indexes import iter_index
from image_assets.storage.store import Store

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

# As text in Dagster's event log; base64 makes four bytes of three.
_MOST_SHARD_BYTES, _MOST_INDEX_BYTES = 30_000, 100_000
_BASE64 = 4 / 3
_COLUMNS = ["key", "variant", "label", "sha256", "segment", "row", "raw_width_px", "raw_height_px"]
_SHOWN = ["key", "sha256", "segment", "row"]
_NO_ROWS = pa.schema([MANIFEST_SCHEMA.field(name) for name in _SHOWN]).empty_table()
# On the tile of a failed image; white on this is 7:1.
_FAILED_COLOUR = (155, 28, 28)
# At most one in so many tiles is of a failed image.
_FAILED_SHARE = 4
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture of ``shown`` images, of which the first ``changed`` ones are what the run changed.

    ``failed`` are those without an output, on tiles that say why. ``keys`` are the first few in the order of the
    picture, ``bars`` says how bright the images with an output are.
    """

    picture: Thumbnail
    shown: int
    changed: int
    failed: tuple[Change, ...]
    keys: tuple[str, ...]
    bars: Bars


def shard_sheet(settings: Settings, store: Store, rows: pa.Table, changes: Changes, recipe_id: str) -> Sheet | None:
    """Return the sheet of a shard, or None where there is no image or the settings want none.

    Args:
        rows: the shard's, with the columns of :mod:`~image_assets.pipeline.run_changes`.

    Raises:
        StoreError: a segment is damaged or gone.
    """
    options = settings.contact_sheets
    form = _Form(options.shard_images, 8, options.side_px, _MOST_SHARD_BYTES)
    most = form.images
    bad = rows.filter(pc.equal(rows["status"], FAILED)).slice(0, most).to_pylist()
    news = [change for change in changes.listed if change.kind == "failed"]
    known = {change.key for change in news}
    stays = [Change("failed", row["key"], row["reason"], row["sha256"]) for row in bad if row["key"] not in known]
    chosen = _Chosen(most, changes)
    chosen.add(rows.filter(pc.is_valid(rows["segment"])).select(_SHOWN))
    failed = (news + stays)[: -(-most // _FAILED_SHARE)]
    tiles = [_failed_tile(change, None, form.side_px) for change in failed]
    return _sheet(store, recipe_id, form, chosen, (failed, tiles))


def index_sheet(settings: Settings, store: Store, head: IndexHead, changes: Changes) -> tuple[Sheet | None, Spread]:
    """Return the sheet of an index, None as for a shard; and how its images are spread, counted on the same way.

    Raises:
        StoreError: the index or a segment is damaged or gone.
        EngineError: no worker can be started to look into failed images.
    """
    options, spread = settings.contact_sheets, Spread()
    form = _Form(options.index_images, 16, options.side_px, _MOST_INDEX_BYTES)
    chosen = _Chosen(form.images, changes)
    for piece in iter_index(store, head.number, columns=_COLUMNS):
        plain = piece.filter(pc.equal(piece["variant"], 0))
        spread.add(plain)
        chosen.add(plain.select(_SHOWN))
    failed = [change for change in changes.listed if change.kind == "failed"]
    failed = failed[: -(-form.images // _FAILED_SHARE)]
    images = [FailedImage(change.key, change.sha256, reason_of(change)) for change in failed]
    pictures = thumbnails_of_failed(settings, images, options.side_px)
    tiles = [_failed_tile(*both, options.side_px) for both in zip(failed, pictures, strict=True)]
    return _sheet(store, head.recipe_id, form, chosen, (failed, tiles)), spread


def reason_of(change: Change) -> str:
    """Return the code of the reason why an image failed."""
    return change.detail.partition(":")[0]


@dataclass(frozen=True, slots=True)
class _Form:
    """How many images a sheet has, in how many columns, how large, and how much text it may be in all."""

    images: int
    columns: int
    side_px: int
    most_bytes: int


class _Chosen:
    """The images to show: those that changed, and a sample that stays the same as long as its images do."""

    def __init__(self, most: int, changes: Changes) -> None:
        self._most = most
        keys = [change.key for change in changes.listed if change.kind not in {"failed", "removed"}]
        self._keys = pa.array(keys, pa.string())
        self._changed = [_NO_ROWS]
        self._sample = _NO_ROWS

    def add(self, rows: pa.Table) -> None:
        """Consider some more rows."""
        changed = pc.is_in(rows["key"], value_set=self._keys)
        self._changed.append(rows.filter(changed))
        rest = rows.filter(pc.invert(changed))
        rest = pa.concat_tables([self._sample, rest], promote_options="permissive")
        # The hash of an image's bytes is a draw that no run, name or order of the images changes.
        first = pc.select_k_unstable(rest, k=min(self._most, rest.num_rows), sort_keys=[("sha256", "ascending")])
        self._sample = rest.take(first)

    def rows(self, room: int) -> tuple[pa.Table, int]:
        """Return the rows to show, in the order of the picture, and how many of them changed."""
        changed = pa.concat_tables(self._changed, promote_options="permissive").slice(0, room)
        sample = self._sample.sort_by([("sha256", "ascending"), ("key", "ascending")])
        return pa.concat_tables([changed, sample.slice(0, room - changed.num_rows)]), changed.num_rows


def _sheet(
    store: Store, recipe_id: str, form: _Form, chosen: _Chosen, bad: tuple[Sequence[Change], Sequence[Thumbnail]]
) -> Sheet | None:
    failed, tiles = bad
    rows, changed = chosen.rows(form.images - len(tiles))
    pictures = thumbnails_of_rows(store, recipe_id, rows, form.side_px)
    every = [*tiles, *pictures]
    if not every:
        return None
    picture = contact_sheet(every, form.columns, form.side_px)
    # Noise is dear: then fewer are shown.
    while (size := len(picture.data) * _BASE64) > form.most_bytes and len(every) > 1:
        every = every[: max(1, int(len(every) * form.most_bytes / size * 0.95))]
        picture = contact_sheet(every, form.columns, form.side_px)
    shown, keys = len(every), [*(change.key for change in failed), *rows["key"].to_pylist()]
    changed = min(changed, max(shown - len(tiles), 0))
    return Sheet(picture, shown, changed, tuple(failed[:shown]), tuple(keys[:shown][:_NAMED]), brightness(pictures))


def _failed_tile(change: Change, picture: Thumbnail | None, side_px: int) -> Thumbnail:
    """Return a tile that says why an image failed, over what its bytes still show."""
    from PIL import Image, ImageDraw, ImageFont

    tile = Image.new("RGB", (side_px, side_px), _FAILED_COLOUR)
    draw, font = ImageDraw.Draw(tile), ImageFont.load_default(max(8, side_px // 6))
    lines = list(_lines(reason_of(change), draw, font, side_px - 4))
    step_px = font.getbbox("Ag")[3] + 1
    if picture is not None:
        with Image.open(io.BytesIO(picture.data), formats=("WEBP",)) as image:
            image.thumbnail((side_px - 4, max(1, side_px - step_px * len(lines) - 4)))
            tile.paste(image, ((side_px - image.width) // 2, 2))
    top_px = side_px - step_px * len(lines) - 2 if picture is not None else (side_px - step_px * len(lines)) // 2
    for number, line in enumerate(lines):
        draw.text((2, top_px + number * step_px), line, "white", font)
    return encode_thumbnail(tile)


def _lines(
    reason: str, draw: "ImageDraw.ImageDraw", font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", width_px: int
) -> Iterable[str]:
    line = ""
    for word in (reason if reason in REASONS else "failed").split("_"):
        longer = f"{line} {word}".strip()
        if line and draw.textlength(longer, font) > width_px:
            yield line
            longer = word
        line = longer
    yield line
