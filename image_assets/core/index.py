"""The rows of an index, one a live output image, its head, and the digest that says when two datasets are equal."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.heads import FORMAT_VERSION, seal, unseal
from image_assets.core.manifest import FACT_FIELDS, MANIFEST_SCHEMA
from image_assets.core.sample import OK

# Sorted by (bucket, key, variant): the order does not depend on the number of shards.
INDEX_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("variant", pa.int32(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("width_px", pa.int32(), nullable=False),
        pa.field("height_px", pa.int32(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("output_sha256", pa.string(), nullable=False),
        pa.field("segment", pa.string(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("bucket", pa.uint16(), nullable=False),
        *FACT_FIELDS,
        pa.field("extra", pa.string()),
        pa.field("group", pa.string()),
        pa.field("split", pa.string()),
    ]
)
# What an index adds to the rows of the manifests: null where the settings want none.
ADDED = ("group", "split")
# What the digest covers.
IN_DIGEST = ("key", "variant", "output_sha256", "label", "extra", "split")
_DIGESTED_ROWS = 4096
# Of each byte whether JSON writes it as it is.
_PLAIN = np.array([32 <= byte < 127 and chr(byte) not in '"\\' for byte in range(256)])
# What readers see beside these when all frames of the images are there: told from ``variant``, so not stored.
FRAME = pa.field("frame", pa.int32(), nullable=False)
# In the totals of such an index: how many outputs each frame has, the plain one and the augmented ones.
OUTPUTS_A_FRAME = "outputs_a_frame"


@dataclass(frozen=True, slots=True)
class IndexHead:
    """What an index says of itself.

    ``commits`` maps each shard to the number of the manifest commit it was built from and ``data_versions`` to that
    commit's state. ``added`` says in one word each what else its rows come from: labels that people gave, how groups
    and splits are made. ``totals`` are the dataset's run metrics.
    """

    dataset: str
    number: int
    digest: str
    rows: int
    recipe_id: str
    num_shards: int
    created_at: str
    commits: dict[str, int]
    data_versions: dict[str, str]
    totals: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    added: dict[str, str] = field(default_factory=dict)

    @property
    def data_version(self) -> str:
        """The state of all that the index was built from, in one word."""
        return combine_data_versions(self.data_versions, self.added)

    @property
    def outputs_a_frame(self) -> int:
        """How many outputs each frame has; 0 when only first frames are there."""
        return int(self.totals.get(OUTPUTS_A_FRAME, 0))

    def is_followed_by(self, head: "MadeOfIndex") -> bool:
        """Return whether a file is of this index, row by row."""
        return (head.index_number, head.index_digest) == (self.number, self.digest)


class MadeOfIndex(Protocol):
    """The head of a file that has something to say of each row of an index."""

    @property
    def index_number(self) -> int:
        """The number of the index."""
        ...

    @property
    def index_digest(self) -> str:
        """Its digest."""
        ...


def select_columns(rows: pa.Table, names: Sequence[str], outputs_a_frame: int) -> pa.Table:
    """Return index rows with some columns, among them perhaps ``frame``, which is told from ``variant``."""
    if FRAME.name in names:
        frame = pc.divide(rows["variant"], outputs_a_frame).cast(FRAME.type)
        rows = rows.append_column(FRAME, frame)
    return rows.select(names)


def combine_data_versions(data_versions: Mapping[str, str], added: Mapping[str, str]) -> str:
    """Return one word for the states of several shards, and of what an index adds."""
    text = json.dumps(sorted([*data_versions.items(), *((f"+{name}", word) for name, word in added.items())]))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def index_head_to_json(head: IndexHead) -> bytes:
    """Return the head as it is kept in the file's metadata."""
    return seal(asdict(head))


def index_head_from_json(text: bytes) -> IndexHead:
    """Return the head read from a file's metadata.

    Raises:
        StoreError: it was written by a newer version.
        ValueError: it is not what was written.
    """
    return IndexHead(**unseal(text, "index"))


def index_rows(manifest_rows: pa.Table, names: Sequence[str] = tuple(INDEX_SCHEMA.names)) -> pa.Table:
    """Return the index rows (:data:`INDEX_SCHEMA`) of manifest rows: one for each variant of each image that is ok.

    What an index adds (:data:`ADDED`) is null.

    Args:
        manifest_rows: with what :func:`manifest_columns` says of the columns.
        names: the columns that are wanted, in the order of the schema.
    """
    rows = manifest_rows.filter(pc.equal(manifest_rows["status"], OK)).combine_chunks()
    outputs = rows["output_sha256"].combine_chunks()
    parents = pc.list_parent_indices(outputs)
    starts = np.cumsum(rows["variants"].to_numpy()) - rows["variants"].to_numpy()
    variant = (np.arange(len(parents)) - starts[parents.to_numpy()]).astype(np.int32)
    # Most images have one output: then their rows are the index's as they are.
    wide = rows.take(parents) if len(parents) != rows.num_rows or variant.any() else rows
    columns = {name: wide[name] for name in names if name in wide.column_names}
    columns |= {"variant": pa.array(variant), "output_sha256": pc.list_flatten(outputs)}
    if "row" in names:
        columns["row"] = pc.add(wide["row"], columns["variant"])
    if "id" in names:
        keyed = zip(wide["key"].to_pylist(), variant.tolist(), strict=True)
        columns["id"] = pa.array([output_id(key, number) for key, number in keyed], pa.string())
    columns |= {name: pa.nulls(len(parents), pa.string()) for name in ADDED}
    schema = pa.schema([INDEX_SCHEMA.field(name) for name in names])
    return pa.table({name: columns[name] for name in names}).cast(schema)


def manifest_columns(names: Sequence[str]) -> list[str]:
    """Return the columns of a manifest that some columns of an index are made of."""
    needed = {"key", "status", "variants", "output_sha256", *names}
    return [field.name for field in MANIFEST_SCHEMA if field.name in needed]


def output_id(key: str, variant: int) -> str:
    """Return the id of one output: a hash of its key and variant, 32 hex digits."""
    return hashlib.blake2b(f"{key}\0{variant}".encode(), digest_size=16).hexdigest()


def digest_of(tables: Iterable[pa.Table]) -> tuple[int, str]:
    """Return the number and the digest of index rows that come in (bucket, key, variant) order, cut anywhere."""
    digest = RowDigest()
    for table in tables:
        digest.update(table)
    return digest.count, digest.hexdigest()


class RowDigest:
    """The digest of index rows, of which ``count`` were added.

    It covers key, variant, output, label, and the extra columns and the split where there are any, so equal digests
    mean equal datasets.
    """

    def __init__(self) -> None:
        self.count = 0
        self._digest = hashlib.sha256()

    def update(self, table: pa.Table) -> None:
        """Add rows that come next in (bucket, key, variant) order."""
        # Row by row, so that where the tables are cut does not matter.
        for batch in table.select(IN_DIGEST).to_batches(max_chunksize=_DIGESTED_ROWS):
            self.count += batch.num_rows
            self._digest.update(_text_of(_what_counts(batch)))

    def hexdigest(self) -> str:
        """Return the digest of the rows so far, 64 hex digits."""
        return self._digest.hexdigest()


def _what_counts(batch: pa.RecordBatch) -> pa.Array:
    """Return each row as a list in JSON, without a split and without extra columns as before there were any.

    It is what ``json.dumps`` makes of the rows, made of whole columns: a sixth of the time.
    """
    key, output, label, extra, split = (_as_json(batch[name]) for name in IN_DIGEST if name != "variant")
    end: pa.Array | str = "]"
    if batch["extra"].null_count < batch.num_rows:
        end = pc.if_else(pc.is_valid(batch["extra"]), _joined(", ", extra, "]"), end)
    if batch["split"].null_count < batch.num_rows:
        end = pc.if_else(pc.is_valid(batch["split"]), _joined(", ", extra, ", ", split, "]"), end)
    return _joined("[", key, ", ", batch["variant"].cast(pa.string()), ", ", output, ", ", label, end)


def _as_json(column: pa.Array) -> pa.Array:
    """Return texts as JSON writes them, ``null`` where there is none."""
    if _PLAIN[np.frombuffer(_text_of(column), np.uint8)].all():
        return pc.fill_null(_joined('"', column, '"'), "null")
    return pa.array([json.dumps(text) for text in column.to_pylist()], pa.string())


def _joined(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _text_of(texts: pa.Array) -> memoryview:
    """Return the bytes of some texts, one after the other."""
    if texts.buffers()[2] is None:
        return memoryview(b"")
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(texts.buffers()[2])[offsets[0] : offsets[-1]]
