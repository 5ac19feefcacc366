"""The rows of a manifest, one a raw image, and its head: what a commit says of itself."""

from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.heads import FORMAT_VERSION, seal, unseal
from image_assets.core.listing import fingerprint_of
from image_assets.core.sample import FAILED

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

# Sorted by (bucket, key). ``row`` is the first of ``variants`` consecutive rows in the segment. ``first_seen`` is when
# these bytes first failed under this key (UTC, ISO 8601), ``attempts`` how often they were tried; null and 0 when ok.
# ``extra`` is a JSON object of the source's extra columns.
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
        pa.field("first_seen", pa.string()),
        pa.field("attempts", pa.int32()),
        pa.field("extra", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run did to the images of one shard, or of several.

    Every wanted image is exactly one of ``new`` (unseen key and bytes), ``changed`` (known key, other bytes or
    another recipe), ``kept`` (same key, same bytes) and ``moved`` (bytes that the dataset held before, found under a
    key that did not hold them: a rename or a copy). Copies that arrive together are all new, and decoded once.
    ``removed`` keys are gone from the source. ``failed`` of the images that this run looked into have no output.

    Of the images, ``decoded`` were turned into pixels (copies once), ``reencoded`` needed that for another recipe
    alone (each copy); ``hashed`` had their sha256 computed; ``relabelled`` only got another label or other extra
    columns. ``read_bytes`` were read from the source.
    """

    new: int = 0
    changed: int = 0
    kept: int = 0
    moved: int = 0
    removed: int = 0
    failed: int = 0
    decoded: int = 0
    reencoded: int = 0
    hashed: int = 0
    relabelled: int = 0
    read_bytes: int = 0

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
    ``created_at`` is UTC in ISO 8601; ``processing_time_sec`` is what this commit's images took, and ``busy_sec`` how
    long workers were busy with them, together. ``segments`` names what the rows refer to, sorted.
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
    busy_sec: float = 0.0
    segments: tuple[str, ...] = ()
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


def what_rows_say(rows: pa.Table) -> dict[str, Any]:
    """Return the fields of a head that follow from its rows alone.

    The fingerprint is of what was read, not of what was listed: a file that changed in between is covered as it was
    read.
    """
    return {
        "fingerprint": fingerprint_of(rows),
        "images": rows.num_rows,
        "failed_images": int(pc.sum(pc.equal(rows["status"], FAILED).cast(pa.int64())).as_py() or 0),
        "output_bytes": int(pc.sum(rows["output_bytes"]).as_py() or 0),
        "segments": tuple(sorted(rows["segment"].unique().drop_null().to_pylist())),
    }


def data_version(recipe_id: str, fingerprint: str) -> str:
    """Return the one word for "this recipe over this listing"."""
    return f"{recipe_id}-{fingerprint}"


def head_to_json(head: ManifestHead) -> bytes:
    """Return the head as it is kept in the file's metadata."""
    return seal(asdict(head))


def head_from_json(text: bytes) -> ManifestHead:
    """Return the head read from a file's metadata.

    Raises:
        StoreError: it was written by a newer version.
        ValueError: it is not what was written.
    """
    content = unseal(text, "manifest")
    segments = tuple(content.pop("segments", ()))
    return ManifestHead(**{**content, "counts": Counts(**content["counts"]), "segments": segments})
