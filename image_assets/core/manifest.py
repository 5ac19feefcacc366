"""The rows of a manifest, one a raw image, and its head: what a commit says of itself."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from image_assets.core.errors import StoreError

FORMAT_VERSION = 1
HEAD_KEY = b"image_assets"

FACT_FIELDS = [
    pa.field("raw_format", pa.string()),
    pa.field("raw_mode", pa.string()),
    pa.field("raw_width_px", pa.int32()),
    pa.field("raw_height_px", pa.int32()),
    pa.field("orientation", pa.int8()),
    pa.field("taken_at", pa.string()),
    pa.field("camera_make", pa.string()),
    pa.field("camera_model", pa.string()),
    pa.field("has_gps", pa.bool_()),
    pa.field("gps_latitude", pa.float64()),
    pa.field("gps_longitude", pa.float64()),
    pa.field("flags", pa.list_(pa.string())),
]

# Sorted by (bucket, key). ``row`` is the first of ``variants`` consecutive rows in the segment.
MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("bucket", pa.uint16(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("segment", pa.string()),
        pa.field("row", pa.int32()),
        pa.field("variants", pa.int32(), nullable=False),
        pa.field("output_sha256", pa.list_(pa.string())),
        pa.field("output_bytes", pa.int64(), nullable=False),
        pa.field("width_px", pa.int32()),
        pa.field("height_px", pa.int32()),
        pa.field("format", pa.string()),
        *FACT_FIELDS,
    ]
)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run did to the images of one shard, or of several.

    Every wanted image is exactly one of ``new`` (unseen key and bytes), ``changed`` (known key, other bytes or
    another recipe), ``kept`` (same key, same bytes) and ``moved`` (bytes already processed, found under a key that
    did not hold them: a rename or a copy). ``removed`` keys are gone from the source. ``failed`` of the images that
    this run looked into have no output; ``decoded`` were turned into pixels; ``relabelled`` only got another label.
    """

    new: int = 0
    changed: int = 0
    kept: int = 0
    moved: int = 0
    removed: int = 0
    failed: int = 0
    decoded: int = 0
    relabelled: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def wanted(self) -> int:
        """How many images the source holds."""
        return self.new + self.changed + self.kept + self.moved


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """What a commit says of itself, readable without its rows.

    ``fingerprint`` is that of the listing the commit covers: with ``recipe_id`` it is the shard's state.
    ``after_index`` is the number of the newest index when the commit was made: after a change of the number of
    shards it tells commits of the present layout from those of an earlier time with the same number.
    ``created_at`` is UTC in ISO 8601; ``processing_time_sec`` is what this commit's images took.
    """

    dataset: str
    shard: str
    number: int
    after_index: int
    recipe_id: str
    fingerprint: str
    created_at: str
    images: int
    failed_images: int
    output_bytes: int
    processing_time_sec: float
    counts: Counts = field(default_factory=Counts)
    format_version: int = FORMAT_VERSION

    @property
    def data_version(self) -> str:
        """The shard's state in one word."""
        return data_version(self.recipe_id, self.fingerprint)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One commit: its head and its rows (:data:`MANIFEST_SCHEMA`)."""

    head: ManifestHead
    rows: pa.Table


def data_version(recipe_id: str, fingerprint: str) -> str:
    """Return the one word for "this recipe over this listing"."""
    return f"{recipe_id}-{fingerprint}"


def head_to_json(head: ManifestHead) -> bytes:
    """Return the head as it is kept in the file's metadata."""
    return json.dumps(asdict(head), sort_keys=True).encode()


def head_from_json(text: bytes) -> ManifestHead:
    """Return the head read from a file's metadata.

    Raises:
        StoreError: it was written by a newer version.
    """
    content: dict[str, Any] = json.loads(text)
    refuse_newer(content.get("format_version", 0), "manifest")
    return ManifestHead(**{**content, "counts": Counts(**content["counts"])})


def refuse_newer(format_version: int, what: str) -> None:
    """Accept a format version that this code knows.

    Raises:
        StoreError: it was written by a newer version.
    """
    if format_version > FORMAT_VERSION:
        raise StoreError(
            f"{what} has format version {format_version}, this image_assets reads up to {FORMAT_VERSION}; upgrade it"
        )
