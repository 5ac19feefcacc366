"""The rows of an index, one a live output image, its head, and the digest that says when two datasets are equal."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.heads import FORMAT_VERSION, seal, unseal
from image_assets.core.manifest import FACT_FIELDS
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
_IN_DIGEST = ["key", "variant", "output_sha256", "label", "extra", "split"]
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


def index_rows(manifest_rows: pa.Table) -> pa.Table:
    """Return the index rows (:data:`INDEX_SCHEMA`) of manifest rows: one for each variant of each image that is ok.

    What an index adds (:data:`ADDED`) is null.
    """
    rows = manifest_rows.filter(pc.equal(manifest_rows["status"], OK)).combine_chunks()
    outputs = rows["output_sha256"].combine_chunks()
    parents = pc.list_parent_indices(outputs)
    starts = np.cumsum([0, *rows["variants"].to_numpy()])[:-1]
    variant = np.arange(len(parents)) - starts[parents.to_numpy()] if len(parents) else np.empty(0, np.int64)
    wide = rows.take(parents)
    columns = {name: wide[name] for name in INDEX_SCHEMA.names if name in wide.column_names}
    columns["variant"] = pa.array(variant, pa.int32())
    columns["row"] = pc.add(wide["row"], columns["variant"])
    columns["output_sha256"] = pc.list_flatten(outputs)
    columns["id"] = pa.array(
        [output_id(key, int(number)) for key, number in zip(wide["key"].to_pylist(), variant, strict=True)], pa.string()
    )
    columns |= {name: pa.nulls(len(parents), pa.string()) for name in ADDED}
    return pa.table({name: columns[name] for name in INDEX_SCHEMA.names}).cast(INDEX_SCHEMA)


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
        for batch in table.select(_IN_DIGEST).to_batches():
            rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
            self.count += len(rows)
            self._digest.update("".join([json.dumps(_what_counts(row)) for row in rows]).encode())

    def hexdigest(self) -> str:
        """Return the digest of the rows so far, 64 hex digits."""
        return self._digest.hexdigest()


def _what_counts(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row without a split and without extra columns as it counted before there were any."""
    if row[-1] is not None:
        return row
    return row[:-1] if row[-2] is not None else row[:-2]
