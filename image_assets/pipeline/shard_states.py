"""The parts of an export and what decides the content of each: told from the index, before anything is written."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.index import RowDigest
from image_assets.core.sharding import bucket_range, parse_shard, shard_names
from image_assets.core.splits import SPLIT_NAMES, SPLITS
from image_assets.formats.base import Format
from image_assets.pipeline.reading import Dataset
from image_assets.storage.indexes import iter_index
from image_assets.storage.store import Store

_COLUMNS = ["key", "variant", "output_sha256", "label", "extra", "split", "bucket"]
# Of what a change writes every file again: how a format writes rows.
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a shard, or those of one split of them; the split "" is of those that are in none."""

    shard: str
    split: str | None = None

    @property
    def name(self) -> str:
        """What its file is called, without suffix: as on the hub, ``train-00003-of-00016``."""
        number, of = parse_shard(self.shard)
        # Without splits there is nothing but to train.
        split = "train" if self.split is None else self.split or "rest"
        return f"{split}-{number:05d}-of-{of:05d}"

    def rows_of(self, rows: pa.Table) -> pa.Table:
        """Return those rows of the shard that are in its split."""
        wanted = pc.equal(rows["split"], self.split) if self.split else pc.is_null(rows["split"])
        return rows.filter(wanted)


@dataclass(frozen=True, slots=True)
class ShardState:
    """What decides the bytes of one part; ``looks`` is what all of them have in common."""

    digest: str
    rows: int
    looks: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at an index found: the state of each part, and what all parts have in common.

    ``label_names`` and ``image_shape`` are those of the whole dataset, so that numbers mean the same in every part;
    empty for a format of encoded images, which needs neither.
    """

    states: dict[Part, ShardState]
    has_variants: bool
    has_extra: bool
    label_names: tuple[str, ...]
    image_shape: tuple[int, int, int]


def has_splits(dataset: Dataset) -> bool:
    """Return whether a dataset was published with splits."""
    return "splits" in dataset.head.added


def look_at_parts(store: Store, dataset: Dataset, kind: Format, *, by_split: bool) -> Seen:
    """Return the state of each part of a dataset for a format.

    Args:
        by_split: parts are the splits of each shard, where the dataset has any, instead of the shards.

    Raises:
        StoreError: the store does not answer or the index is damaged.
    """
    head = dataset.head
    by_split = by_split and has_splits(dataset)
    looked = _Looked()
    for shard in shard_names(head.num_shards):
        parts = [Part(shard, split) for split in (*SPLIT_NAMES, "")] if by_split else [Part(shard)]
        looked.digests |= {part: RowDigest() for part in parts}
        for rows in iter_index(store, head.number, columns=_COLUMNS, buckets=bucket_range(shard)):
            looked.take(rows, parts)
    # Arrays have a shape, also where there is no image, and numbers that mean labels. Encoded images need neither.
    shape = (0, 0, 0) if kind.encoded else dataset.image_shape
    names = () if kind.encoded else tuple(sorted(looked.labels))
    shown = [_VERSION, head.recipe_id, looked.has_variants, looked.has_extra, head.outputs_a_frame, shape, names]
    looks = hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]
    states = {
        part: ShardState(digest.hexdigest(), digest.count, looks) for part, digest in looked.wanted_digests().items()
    }
    return Seen(states, looked.has_variants, looked.has_extra, names, shape)


@dataclass(slots=True)
class _Looked:
    """What was seen so far of the rows of an index."""

    digests: dict[Part, RowDigest] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    has_variants: bool = False
    has_extra: bool = False

    def take(self, rows: pa.Table, parts: Sequence[Part]) -> None:
        """Look at rows of a shard that is in these parts."""
        self.has_variants = self.has_variants or bool(rows.num_rows and pc.max(rows["variant"]).as_py() > 0)
        self.has_extra = self.has_extra or rows["extra"].null_count < rows.num_rows
        self.labels.update(pc.unique(rows["label"]).drop_null().to_pylist())
        for part in parts:
            self.digests[part].update(rows if part.split is None else part.rows_of(rows))

    def wanted_digests(self) -> dict[Part, RowDigest]:
        """Return the digests of the parts that are written: all shards, and all splits that training has to do with."""
        used = {part.split for part, digest in self.digests.items() if digest.count} | {None, *SPLITS}
        return {part: digest for part, digest in self.digests.items() if part.split in used}
