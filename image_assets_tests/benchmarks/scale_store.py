"""A simulated store of very many images: a snapshot of the source, segments, and the commits of every shard."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from image_assets.core.listing import Listing, make_listing
from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest, ManifestHead, what_rows_say
from image_assets.core.perceptual import METHOD
from image_assets.core.sharding import shard_names
from image_assets.pipeline.labels import label_listing
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.settings import Settings
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.spool import ListingBuilder
from image_assets.storage.identity import open_store
from image_assets.storage.listings import read_listing
from image_assets.storage.manifests import commit_manifest
from image_assets.storage.perceptual import write_hashes
from image_assets.storage.segments import SEGMENT_SCHEMA, write_segment_rows
from image_assets.storage.store import Store

KIND = "simulated"
ROWS_A_CHUNK = 8192
# One output in so many has a perceptual hash, one segment in so many is made once more and named by nobody.
HASHED, ORPHANS = 10, 100
NOBODYS_RECIPE = "0" * 16
_ROWS_A_TABLE = 16_384
_FOLDERS = 1000
_HEX = np.array([f"{byte:02x}".encode() for byte in range(256)], "S2")


class SimulatedSource:
    """``count`` objects of which ``changed`` have another version than the snapshot in the store says.

    Its path is ``STORE:COUNT:CHANGED``. Listing reads that snapshot, as a run does that the sensor asked for.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self._store, count, changed = settings.path.rsplit(":", 2)
        self._count, self._changed = int(count), int(changed)

    def list(self) -> Listing:
        """Return the snapshot, with the changes."""
        listing = read_listing(Store(self._store, create=False), 1)
        return listing.changed(self._with_changes) if self._changed else listing

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return a small PNG that no other image has."""
        number = int(key[-13:-4])
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        data = BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        return RawImage(data.getvalue(), "changed")

    def _with_changes(self, rows: pa.Table) -> pa.Table:
        numbers = pc.utf8_slice_codeunits(rows["key"], -13, -4).cast(pa.int64()).to_numpy()
        is_changed = pa.array(numbers % (self._count // self._changed) == 0)
        versions = pc.if_else(is_changed, "changed", rows["version"])
        return rows.set_column(rows.schema.get_field_index("version"), rows.schema.field("version"), versions)


def simulated_settings(store: Path, count: int, changed: int, num_shards: int) -> Settings:
    """Return settings of the dataset; its images are worked on in the run's own process."""
    content = {
        "name": "simulated",
        "source": {"kind": KIND, "path": f"{store}:{count}:{changed}"},
        "store": str(store),
        "num_shards": num_shards,
        "features": {"extractor": "none"},
        "exports": [],
        "workers": 0,
    }
    return Settings.model_validate(content)


def listed_from_outside(count: int) -> Listing:
    """Return a listing as that of a bucket is made: some thousand objects at a time, in no order of ours."""
    builder = ListingBuilder()
    for first in range(0, count, _ROWS_A_TABLE):
        numbers = np.arange(first, min(first + _ROWS_A_TABLE, count))
        keys = [f"c{number % _FOLDERS:03d}/image-{number:09d}.jpg" for number in numbers.tolist()]
        sizes = 100_000 + numbers * 7919 % 99_991
        tags = _hex_texts(np.random.default_rng(first).integers(0, 256, (len(numbers), 16), np.uint8))
        builder.add(make_listing(keys, tags, sizes, [None] * len(keys)))
    return builder.finish()


def make_commits(settings: Settings, segment_rows: int) -> None:
    """Write segments, manifests and some perceptual hashes of a first run over the snapshot in the store.

    All of them are written by the functions that a run writes them with. An image in a segment has one byte.

    Args:
        segment_rows: how many images a segment holds at most.
    """
    store, recipe_id = open_store(settings), recipe_id_of(settings)
    listing = label_listing(read_listing(store, 1), settings.labels)
    hashed: list[str] = []
    written = 0
    for shard in shard_names(settings.num_shards):
        pieces = [MANIFEST_SCHEMA.empty_table()]
        listed = listing.shard(shard).combine_chunks()
        outputs = _outputs(listed.num_rows, int(shard.partition("-")[0]))
        for first in range(0, listed.num_rows, segment_rows):
            piece, made = (table.slice(first, segment_rows) for table in (listed, outputs))
            name = write_segment_rows(store, recipe_id, made)
            pieces.append(_manifest_rows(piece, made, name))
            if written % ORPHANS == 0:
                write_segment_rows(store, NOBODYS_RECIPE, made)
            written += 1
        rows = pa.concat_tables(pieces).combine_chunks()
        commit_manifest(store, Manifest(_head(settings, recipe_id, shard, rows), rows))
        hashed += outputs["output_sha256"].to_pylist()[::HASHED]
        while len(hashed) >= ROWS_A_CHUNK:
            _write_hashes(store, hashed[:ROWS_A_CHUNK])
            del hashed[:ROWS_A_CHUNK]
    _write_hashes(store, hashed)


def _head(settings: Settings, recipe_id: str, shard: str, rows: pa.Table) -> ManifestHead:
    return ManifestHead(
        dataset=settings.name, shard=shard, number=1, after_index=0, recipe_id=recipe_id,
        created_at="2026-01-01T00:00:00.000+00:00", processing_time_sec=1.0, **what_rows_say(rows),
    )  # fmt: skip


def _outputs(count: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    hashes, made = (_hex_texts(draw.integers(0, 256, (count, 32), np.uint8)) for _ in range(2))
    image = pa.StructArray.from_arrays(
        [pa.array([b"."] * count, pa.binary()), pc.binary_join_element_wise(made, ".jpg", "")],
        fields=list(SEGMENT_SCHEMA.field("image").type),
    )
    columns = {
        "image": image,
        "sha256": hashes,
        "variant": pa.array(np.zeros(count, np.int32)),
        "output_sha256": made,
        "output_bytes": pa.array(np.full(count, 15_000)),
        "width_px": pa.array(np.full(count, 224, np.int32)),
        "height_px": pa.array(np.full(count, 224, np.int32)),
        "format": pa.array(["jpeg"] * count),
        "raw_format": pa.array(["JPEG"] * count),
        "raw_mode": pa.array(["RGB"] * count),
        "raw_width_px": pa.array(draw.integers(400, 640, count).astype(np.int32)),
        "raw_height_px": pa.array(draw.integers(300, 500, count).astype(np.int32)),
    }
    return _filled(columns, SEGMENT_SCHEMA, count)


def _manifest_rows(rows: pa.Table, outputs: pa.Table, segment: str) -> pa.Table:
    count = rows.num_rows
    columns = {name: outputs[name] for name in MANIFEST_SCHEMA.names if name in outputs.column_names}
    columns |= {name: rows[name] for name in ("key", "bucket", "version", "size_bytes", "label")}
    columns |= {"status": pa.array(["ok"] * count), "segment": pa.array([segment] * count)}
    columns |= {"row": pa.array(np.arange(count, dtype=np.int32)), "attempts": pa.array(np.zeros(count, np.int32))}
    columns |= {"variants": pa.array(np.ones(count, np.int32))}
    ends = pa.array(np.arange(count + 1, dtype=np.int32))
    columns["output_sha256"] = pa.ListArray.from_arrays(ends, outputs["output_sha256"].combine_chunks())
    return _filled(columns, MANIFEST_SCHEMA, count)


def _write_hashes(store: Store, names: list[str]) -> None:
    if names:
        write_hashes(store, METHOD, names, list(range(len(names))))


def _filled(columns: dict[str, pa.Array], schema: pa.Schema, count: int) -> pa.Table:
    """Return a table of a schema; columns that are not given are null."""
    return pa.table(
        {field.name: columns.get(field.name, pa.nulls(count, field.type)) for field in schema}, schema=schema
    )


def _hex_texts(values: NDArray[np.uint8]) -> pa.Array:
    """Return the bytes of each row as text, shape (n, width) to (n,)."""
    count, width = values.shape
    data = pa.py_buffer(_HEX[values].tobytes())
    offsets = pa.py_buffer((np.arange(count + 1) * 2 * width).astype(np.int32).tobytes())
    return pa.StringArray.from_buffers(count, offsets, data)
