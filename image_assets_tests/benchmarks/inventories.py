"""A source of very many images that lie nowhere, and a store that holds them as an earlier run would have left it."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from image_assets.core.listing import Listing, make_listing
from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest, ManifestHead, what_rows_say
from image_assets.core.sharding import shard_names
from image_assets.pipeline.labels import label_listing
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.settings import Settings
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.spool import ListingBuilder
from image_assets.storage.identity import open_store
from image_assets.storage.manifests import commit_manifest
from image_assets.storage.segments import SEGMENT_SCHEMA, write_segment_rows

KIND = "inventory"
_FOLDERS = 100
_ROWS_A_TABLE = 16_384
_ROWS_A_SEGMENT = 256


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects ``c00/image-000000000.jpg`` and so on, in a hundred folders; ``changed`` of them have another version.

    Their numbers are in [0, count), and so are their places in the order of the names.
    """

    count: int
    changed: int

    def name(self, number: int) -> str:
        """Return the path of an object."""
        return f"c{number % _FOLDERS:02d}/image-{number:09d}.jpg"

    def number_at(self, place: int) -> int:
        """Return which object is at a place in the order of the names."""
        most, larger = -(-self.count // _FOLDERS), self.count % _FOLDERS or _FOLDERS
        if place < larger * most:
            return place // most + place % most * _FOLDERS
        folder, within = divmod(place - larger * most, most - 1)
        return larger + folder + within * _FOLDERS

    def tag(self, number: int) -> str:
        """Return the ETag of an object, without quotes."""
        is_changed = bool(self.changed) and number % (self.count // self.changed) == 0
        return hashlib.md5(b"%d %d" % (number, is_changed), usedforsecurity=False).hexdigest()

    def size_bytes(self, number: int) -> int:
        """Return the size of an object."""
        return 100_000 + number * 7919 % 99_991

    def data(self, number: int) -> bytes:
        """Return the bytes of an object, which no other has; they are no image."""
        return self.tag(number).encode().ljust(self.size_bytes(number), b".")


class Inventory:
    """The same objects as a source of their own; a version is that of a bucket."""

    def __init__(self, settings: SourceSettings) -> None:
        count, changed = settings.path.split(":")
        self._objects = Objects(int(count), int(changed))

    def list(self) -> Listing:
        """Return the listing, made like that of a bucket: some thousand objects at a time, in no order of ours."""
        builder = ListingBuilder()
        for first in range(0, self._objects.count, _ROWS_A_TABLE):
            numbers = range(first, min(first + _ROWS_A_TABLE, self._objects.count))
            sizes = [self._objects.size_bytes(number) for number in numbers]
            versions = [f"{self._objects.tag(number)}-{size}" for number, size in zip(numbers, sizes, strict=True)]
            keys = [self._objects.name(number) for number in numbers]
            builder.add(make_listing(keys, versions, sizes, [None] * len(keys)))
        return builder.finish()

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return bytes that no other image has."""
        return RawImage(b"another " + key.encode(), "2")


def inventory_settings(store: Path, source: dict[str, str], num_shards: int) -> Settings:
    """Return settings of a dataset of a source."""
    content = {
        "name": "inventory",
        "source": source,
        "store": str(store),
        "num_shards": num_shards,
        "features": {"extractor": "none"},
        "exports": [],
    }
    return Settings.model_validate(content)


def make_store(folder: Path, count: int, num_shards: int) -> None:
    """Write the commits and segments of a run over ``count`` images; the segments hold a byte for each image."""
    aside = folder.with_suffix(".partial")
    settings = inventory_settings(aside, {"kind": KIND, "path": f"{count}:0"}, num_shards)
    store, recipe_id = open_store(settings), recipe_id_of(settings)
    listing = label_listing(Inventory(settings.source).list(), settings.labels)
    for shard in shard_names(num_shards):
        pieces = [MANIFEST_SCHEMA.empty_table()]
        listed = listing.shard(shard)
        for first in range(0, listed.num_rows, _ROWS_A_SEGMENT):
            piece = listed.slice(first, _ROWS_A_SEGMENT).combine_chunks()
            outputs = _outputs(piece)
            pieces.append(_manifest_rows(piece, outputs, write_segment_rows(store, recipe_id, outputs)))
        rows = pa.concat_tables(pieces)
        said = what_rows_say(rows)
        head = ManifestHead(
            dataset=settings.name, shard=shard, number=1, after_index=0, recipe_id=recipe_id,
            created_at="2026-01-01T00:00:00.000+00:00", processing_time_sec=1.0, **said,
        )  # fmt: skip
        commit_manifest(store, Manifest(head, rows))
    aside.rename(folder)


def empty_files(folder: Path, count: int, folders: int = 100) -> Path:
    """Return a folder of ``count`` empty files, made if it is not there."""
    if folder.exists():
        return folder
    aside = folder.with_suffix(".partial")
    for number in range(folders):
        (aside / f"c{number:02d}").mkdir(parents=True)
    for number in range(count):
        os.mknod(aside / f"c{number % folders:02d}" / f"image-{number:09d}.jpg")
    aside.rename(folder)
    return folder


def _outputs(rows: pa.Table) -> pa.Table:
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in rows["key"].to_pylist()]
    made = [hashlib.sha256(sha256.encode()).hexdigest() for sha256 in hashes]
    columns = {
        "image": [{"bytes": b".", "path": f"{sha256}.jpg"} for sha256 in made],
        "sha256": hashes,
        "variant": [0] * len(made),
        "output_sha256": made,
        "output_bytes": [15_000] * len(made),
        "width_px": [224] * len(made),
        "height_px": [224] * len(made),
        "format": ["jpeg"] * len(made),
    }
    return _filled(columns, SEGMENT_SCHEMA, len(made))


def _manifest_rows(rows: pa.Table, outputs: pa.Table, segment: str) -> pa.Table:
    count = rows.num_rows
    columns = {name: rows[name] for name in ("key", "bucket", "version", "size_bytes", "label")}
    columns |= {name: outputs[name] for name in ("sha256", "output_bytes", "width_px", "height_px", "format")}
    columns |= {"status": ["ok"] * count, "segment": [segment] * count, "row": list(range(count))}
    columns |= {"variants": [1] * count, "attempts": [0] * count}
    columns["output_sha256"] = [[sha256] for sha256 in outputs["output_sha256"].to_pylist()]
    return _filled(columns, MANIFEST_SCHEMA, count)


def _filled(columns: dict[str, object], schema: pa.Schema, count: int) -> pa.Table:
    """Return a table of a schema; columns that are not given are null."""
    return pa.table(
        {field.name: columns.get(field.name, pa.nulls(count, field.type)) for field in schema}, schema=schema
    )
