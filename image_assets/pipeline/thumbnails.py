"""Small pictures for people: of rows of an index, and of failed images as far as their bytes still show something."""

import base64
import hashlib
import io
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from image_assets.core.errors import ConfigError, ImageAssetsError
from image_assets.engines import local_engine
from image_assets.engines.base import Beat, Lost
from image_assets.pipeline.far_pixels import places_of
from image_assets.pipeline.pixels import StoredImages
from image_assets.settings import Settings
from image_assets.sources import build_source
from image_assets.sources.base import Source
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets.storage.tables import naming_damage
from image_assets.transforms.pillow_decode import check_pixel_count, open_image, quiet_and_limited

if TYPE_CHECKING:
    from PIL import Image

# Photographs of 160 pixels: 2.6 kB as WebP, 3.5 kB as JPEG of the same quality; 1.7 ms to write.
_QUALITY = 70
_METHOD = 4
MEDIA_TYPE = "image/webp"
# Why an image failed whose bytes may still show something. What ended a decoder once is not tried again, nor is
# what was refused for what it may do to a reader.
SHOWABLE = frozenset({"truncated", "corrupt", "unsupported_format", "too_large"})


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture: WebP bytes and its size."""

    data: bytes
    width_px: int
    height_px: int

    @property
    def data_uri(self) -> str:
        """The picture as text for HTML and Markdown."""
        return f"data:{MEDIA_TYPE};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True, slots=True)
class FailedImage:
    """A raw image without an output, as its manifest row says: ``sha256`` is of the bytes that failed, if known."""

    key: str
    sha256: str | None
    reason: str


def thumbnails_of_rows(store: Store, recipe_id: str, rows: pa.Table, side_px: int) -> list[Thumbnail]:
    """Return a picture of each index row (``segment``, ``row``), in the order of the rows; equal outputs are read once.

    Segments are read in their own order, each piece once, one piece and the small pictures in memory.

    Args:
        side_px: the longer side of the pictures; what is smaller stays as it is.

    Raises:
        StoreError: a segment is damaged or gone.
    """
    places = list(places_of(rows))
    made: dict[tuple[str, int], Thumbnail] = {}
    with closing(StoredImages(store, recipe_id)) as images:
        for place in sorted(set(places)):
            encoded = images.encoded(*place)
            with naming_damage(layout.segment(recipe_id, place[0])):
                made[place] = thumbnail_of_output(encoded, side_px)
    return [made[place] for place in places]


def thumbnail_of_output(encoded: bytes, side_px: int) -> Thumbnail:
    """Return a picture of one output image, given the bytes that the platform wrote.

    Raises:
        OSError: they are damaged.
    """
    from PIL import Image

    with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as image:
        # JPEG is decoded smaller where twice the side is left.
        image.draft(None, (2 * side_px, 2 * side_px))
        return _shrunk(image, side_px)


def thumbnails_of_failed(settings: Settings, failed: Iterable[FailedImage], side_px: int) -> list[Thumbnail | None]:
    """Return a picture of each failed image, in their order, or None where nothing can be shown.

    They are read from the source and decoded in worker processes under the limits of the settings, leniently: of a
    truncated image the part that is there. Bytes that are not those that failed are not shown.

    Raises:
        EngineError: no worker can be started.
    """
    wanted = list(failed)
    tasks = [(number, image) for number, image in enumerate(wanted) if image.sha256 and image.reason in SHOWABLE]
    found: list[Thumbnail | None] = [None] * len(wanted)
    if not tasks:
        return found
    with local_engine(settings) as engine:
        # An image a task: a worker that ends over one costs that one.
        for outcome in engine.map(_Salvage(settings, side_px), tasks):
            if not isinstance(outcome, Lost):
                found[outcome.task[0]] = outcome.result
    return found


def contact_sheet(thumbnails: Sequence[Thumbnail], columns: int, side_px: int) -> Thumbnail:
    """Return one picture of many, in rows of ``columns`` squares of ``side_px``, on white.

    Raises:
        ConfigError: there is none.
    """
    from PIL import Image

    if not thumbnails:
        raise ConfigError("a contact sheet of no images is not possible")
    gap_px = 4
    step_px = side_px + gap_px
    used, lines = min(columns, len(thumbnails)), -(-len(thumbnails) // columns)
    sheet = Image.new("RGB", (used * step_px - gap_px, lines * step_px - gap_px), "white")
    for number, thumbnail in enumerate(thumbnails):
        with Image.open(io.BytesIO(thumbnail.data), formats=("WEBP",)) as image:
            image.thumbnail((side_px, side_px))
            left_px, top_px = ((side_px - length) // 2 for length in image.size)
            sheet.paste(image, (number % columns * step_px + left_px, number // columns * step_px + top_px))
    return encode_thumbnail(sheet)


def encode_thumbnail(image: "Image.Image") -> Thumbnail:
    """Return a small picture as it is written."""
    buffer = io.BytesIO()
    # What Pillow would take over from the original is left behind: its profile, where it was taken.
    image.save(buffer, format="WEBP", quality=_QUALITY, method=_METHOD, icc_profile=b"", exif=b"", xmp=b"")
    return Thumbnail(buffer.getvalue(), image.width, image.height)


class _Salvage:
    """The function that an engine runs over failed images."""

    def __init__(self, settings: Settings, side_px: int) -> None:
        self._settings = settings
        self._side_px = side_px
        self._source: Source | None = None

    def __call__(self, task: tuple[int, FailedImage], beat: Beat) -> Thumbnail | None:
        """Return what one image still shows."""
        beat(0)
        image, limits = task[1], self._settings.limits
        try:
            if self._source is None:
                self._source = build_source(self._settings.source)
            raw = self._source.read(image.key, None, max_bytes=limits.max_file_bytes).data
        except ImageAssetsError:
            # It is gone, or cannot be read now: there is nothing to show, and the report says that.
            return None
        if hashlib.sha256(raw).hexdigest() != image.sha256:
            return None
        return _salvaged(raw, limits.max_pixels, self._side_px)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_source": None}


def _salvaged(raw: bytes, max_pixels: int, side_px: int) -> Thumbnail | None:
    from PIL import ImageFile, ImageOps

    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        with quiet_and_limited(max_pixels), open_image(raw) as image:
            image.draft(None, (2 * side_px, 2 * side_px))
            check_pixel_count(image.width, image.height, max_pixels)
            image.load()
            return _shrunk(ImageOps.exif_transpose(image), side_px)
    except Exception:  # noqa: BLE001 - decoders raise anything for broken bytes, and these are known to be broken
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _shrunk(image: "Image.Image", side_px: int) -> Thumbnail:
    small = image.copy() if image.mode in {"L", "RGB"} else image.convert("RGB")
    # Pillow's own choice for photographs, bicubic with a reducing gap, costs a third of Lanczos here.
    small.thumbnail((side_px, side_px))
    return encode_thumbnail(small)
