"""Segments: immutable Parquet files of processed images, named by their content."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.errors import StoreError
from image_assets.core.heads import FORMAT_VERSION, HEAD_KEY, seal
from image_assets.core.manifest import FACT_FIELDS
from image_assets.core.sample import Rendered
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets.storage.tables import iter_tables, naming_damage, open_parquet, read_table

# Reading one image reads its row group, so row groups stay small: 64 images of 15 kB are 1 MB.
ROW_GROUP_ROWS = 64
IMAGE_TYPE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
SEGMENT_SCHEMA = pa.schema(
    [
        pa.field("image", IMAGE_TYPE),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("variant", pa.int32(), nullable=False),
        pa.field("output_sha256", pa.string(), nullable=False),
        pa.field("output_bytes", pa.int64(), nullable=False),
        pa.field("width_px", pa.int32(), nullable=False),
        pa.field("height_px", pa.int32(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        *FACT_FIELDS,
    ]
)
# With this, Hugging Face `datasets` and the tools that know its metadata show the column as images.
_HUGGINGFACE = json.dumps({"info": {"features": {"image": {"_type": "Image"}}}}).encode()


@dataclass(frozen=True, slots=True)
class SegmentImage:
    """One processed image on its way into a segment; its outputs lie in consecutive rows."""

    sha256: str
    rendered: Rendered


def write_segment(store: Store, recipe_id: str, images: Sequence[SegmentImage]) -> str:
    """Write a segment and return its name, the sha256 of its bytes.

    Raises:
        StoreError: it cannot be written.
    """
    data = _to_bytes(recipe_id, images)
    name = hashlib.sha256(data).hexdigest()
    store.put_if_absent(layout.segment(recipe_id, name), data)
    return name


def read_segment(store: Store, recipe_id: str, name: str, columns: list[str] | None = None) -> pa.Table:
    """Return a segment's rows; without ``columns`` all but the images.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    columns = columns or [field.name for field in SEGMENT_SCHEMA if field.name != "image"]
    return read_table(store, layout.segment(recipe_id, name), columns)[1].combine_chunks()


def read_segment_rows(store: Store, recipe_id: str, name: str, rows: Sequence[int]) -> pa.Table:
    """Return some rows of a segment, with the images (:data:`SEGMENT_SCHEMA`), in the order asked for.

    Raises:
        StoreError: it does not exist, is damaged or shorter.
    """
    path = layout.segment(recipe_id, name)
    groups = {group: place for place, group in enumerate(sorted({row // ROW_GROUP_ROWS for row in rows}))}
    # All row groups but the last are full, and the last stays the last.
    places = [groups[row // ROW_GROUP_ROWS] * ROW_GROUP_ROWS + row % ROW_GROUP_ROWS for row in rows]
    with store.open(path) as file, open_parquet(path, file, ["image.bytes"]) as parquet, naming_damage(path):
        table = parquet.read_row_groups(list(groups), columns=SEGMENT_SCHEMA.names)
        return table.take(pa.array(places, pa.int64())).replace_schema_metadata(None).cast(SEGMENT_SCHEMA)


def write_segment_rows(store: Store, recipe_id: str, rows: pa.Table) -> str:
    """Write rows of other segments (:data:`SEGMENT_SCHEMA`) as a segment of their own and return its name.

    Raises:
        StoreError: it cannot be written.
    """
    data = _table_to_bytes(recipe_id, rows)
    name = hashlib.sha256(data).hexdigest()
    store.put_if_absent(layout.segment(recipe_id, name), data)
    return name


def iter_images(store: Store, recipe_id: str, name: str) -> Iterator[bytes]:
    """Yield the encoded images of a segment in row order.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    path = layout.segment(recipe_id, name)
    for table in iter_tables(store, path, batch_rows=ROW_GROUP_ROWS, columns=["image.bytes"]):
        yield from table["image"].combine_chunks().field("bytes").to_pylist()


def segment_digest(store: Store, recipe_id: str, name: str) -> str:
    """Return the sha256 of a segment's bytes as they are now; it equals the name of a sound one.

    Raises:
        StoreError: it does not exist or cannot be read.
    """
    return hashlib.sha256(store.get(layout.segment(recipe_id, name))).hexdigest()


def iter_segments(store: Store, recipe_id: str) -> Iterator[str]:
    """Yield the names of the segments made with one recipe, whether a commit refers to them or not.

    Raises:
        StoreError: the store does not answer.
    """
    for file in store.list(layout.segments_of(recipe_id)):
        if name := layout.content_name_of(file.path):
            yield name


class SegmentReader:
    """Random access to the images of one segment; holds one row group in memory."""

    def __init__(self, store: Store, recipe_id: str, name: str) -> None:
        """Open a segment.

        Raises:
            StoreError: it does not exist or is damaged.
        """
        path = layout.segment(recipe_id, name)
        self._path = path
        self._file = store.open(path)
        self._parquet = open_parquet(path, self._file, ["image.bytes"])
        self._group = -1
        self._images: pa.Array = pa.array([], pa.binary())

    def image(self, row: int) -> bytes:
        """Return the encoded bytes of the image in one row.

        Raises:
            StoreError: the segment is damaged or shorter.
        """
        group, offset = divmod(row, ROW_GROUP_ROWS)
        if group != self._group:
            with naming_damage(self._path):
                table = self._parquet.read_row_group(group, columns=["image.bytes"])
                self._images = table["image"].combine_chunks().field("bytes")
            self._group = group
        if offset >= len(self._images):
            raise StoreError(f"{self._path} is damaged: it has no row {row}")
        value: bytes = self._images[offset].as_py()
        return value

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _to_bytes(recipe_id: str, images: Sequence[SegmentImage]) -> bytes:
    rows = []
    for image in images:
        facts = image.rendered.facts.as_dict()
        for output in image.rendered.outputs:
            # The file name inside says content, not key: equal images give equal segments whatever they are called.
            path = f"{output.sha256[:32]}.{'jpg' if output.format == 'jpeg' else output.format}"
            rows.append(
                {
                    "image": {"bytes": output.data, "path": path},
                    "sha256": image.sha256,
                    "variant": output.variant,
                    "output_sha256": output.sha256,
                    "output_bytes": len(output.data),
                    "width_px": output.width_px,
                    "height_px": output.height_px,
                    "format": output.format,
                    **facts,
                }
            )
    return _table_to_bytes(recipe_id, pa.Table.from_pylist(rows, schema=SEGMENT_SCHEMA))


def _table_to_bytes(recipe_id: str, rows: pa.Table) -> bytes:
    head = seal({"format_version": FORMAT_VERSION, "recipe_id": recipe_id})
    schema = SEGMENT_SCHEMA.with_metadata({HEAD_KEY: head, b"huggingface": _HUGGINGFACE})
    # JPEG and PNG do not shrink further, the other columns do; a dictionary of images would only cost memory.
    compression = {name: "zstd" for name in _leaf_names() if not name.startswith("image.")}
    small = [name for name in _leaf_names() if not name.startswith("image.")]
    sink = io.BytesIO()
    pq.write_table(
        rows.cast(schema),
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression={**compression, "image.bytes": "none", "image.path": "none"},
        use_dictionary=small,
        write_statistics=False,
        write_page_checksum=True,
    )
    return sink.getvalue()


def _leaf_names() -> list[str]:
    names = [field.name for field in SEGMENT_SCHEMA if field.name not in {"image", "flags"}]
    return ["image.bytes", "image.path", "flags.list.element", *names]
