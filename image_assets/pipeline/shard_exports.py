"""Exports of one file a shard beside the newest index; only files of shards whose rows changed are written again."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import DatasetError, StoreError
from image_assets.core.index import IndexHead, digest_of
from image_assets.core.sharding import bucket_range, parse_shard, shard_names
from image_assets.formats import find_format
from image_assets.formats.base import Batch, EncodedBatch, ExportOptions, Format, SampleStream
from image_assets.formats.dataset_card import dataset_card
from image_assets.pipeline.reading import Dataset
from image_assets.storage import layout
from image_assets.storage.indexes import iter_index, latest_index, newest_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store

_BATCH_IMAGES = 256
_COLUMNS = ["key", "variant", "output_sha256", "label", "extra", "bucket"]
# Of what a change writes every file again: how a format writes rows.
_VERSION = 1
_HUB_FORMAT = "huggingface"


@dataclass(frozen=True, slots=True)
class ShardExport:
    """The files of one format after this step; ``written`` of them were written by it, with ``written_bytes``."""

    format: str
    index: IndexHead
    files: int
    written: int
    written_bytes: int


@dataclass(frozen=True, slots=True)
class _State:
    """What decides the bytes of one file."""

    digest: str
    rows: int
    looks: str


@dataclass(frozen=True, slots=True)
class _Made:
    """A file that was written: of which state, and how long it is."""

    state: _State
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at an index found: the state of each shard, and what all files have in common."""

    states: dict[str, _State]
    has_variants: bool
    has_extra: bool


def write_shard_exports(store: Store, name: str) -> ShardExport:
    """Bring ``exports/<name>/`` in line with the newest index.

    Raises:
        ConfigError: the format does not exist.
        DatasetError: nothing was published in the store.
        StoreError: the store does not answer or is damaged.
        OSError: there is no room for a file.
    """
    kind = find_format(name)
    written = written_bytes = 0
    with in_use(store):
        while True:
            index = newest_index_head(store)
            if index is None:
                raise DatasetError(f"no published dataset in {store.url} to export; `image-assets run` publishes one")
            with Dataset(store, index) as dataset:
                pass_ = _Pass(store, name, kind, dataset)
                written += pass_.bring_up_to_date()
                written_bytes += pass_.written_bytes
            # A run that published a newer index meanwhile may have written first: the last to write writes the newest.
            if latest_index(store) == index.number:
                return ShardExport(name, index, index.num_shards, written, written_bytes)


def is_sharded(name: str) -> bool:
    """Return whether a format is written as one file a shard beside the index.

    Raises:
        ConfigError: the format does not exist.
    """
    return find_format(name).encoded


class _Pass:
    """One look at an index, and the files that follow from it."""

    def __init__(self, store: Store, name: str, kind: Format, dataset: Dataset) -> None:
        self.written_bytes = 0
        self._store = store
        self._name = name
        self._kind = kind
        self._dataset = dataset

    def bring_up_to_date(self) -> int:
        """Write what is missing or behind and remove what is too much; return how many files were written."""
        files = {shard: self._path(shard) for shard in shard_names(self._dataset.head.num_shards)}
        there = {file.path: file.size_bytes for file in self._store.list(layout.exports_of(self._name))}
        seen = self._look()
        record = self._read_record()
        written = 0
        for shard, path in files.items():
            state = seen.states[shard]
            if record.get(path) == _Made(state, there.get(path, -1)):
                continue
            record[path] = _Made(state, self._write(shard, path, seen))
            # A file at a time, so that a run killed here writes the next ones only.
            self._put_record({known: record[known] for known in files.values() if known in record})
            written += 1
        wanted = {*files.values(), self._record_path, *self._card(seen)}
        for path in sorted(there.keys() - wanted):
            self._store.delete(path)
        return written

    def _look(self) -> _Seen:
        head = self._dataset.head
        has_variants = has_extra = False
        digests: dict[str, tuple[int, str]] = {}

        def watched(pieces: Iterator[pa.Table]) -> Iterator[pa.Table]:
            nonlocal has_variants, has_extra
            for piece in pieces:
                has_variants = has_variants or bool(piece.num_rows and pc.max(piece["variant"]).as_py() > 0)
                has_extra = has_extra or piece["extra"].null_count < piece.num_rows
                yield piece

        for shard in shard_names(head.num_shards):
            buckets = bucket_range(shard)
            rows = iter_index(self._store, head.number, columns=_COLUMNS, buckets=buckets)
            digests[shard] = digest_of(watched(rows))
        shown = [_VERSION, head.recipe_id, has_variants, has_extra, head.outputs_a_frame]
        looks = hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]
        states = {shard: _State(digest, rows, looks) for shard, (rows, digest) in digests.items()}
        return _Seen(states, has_variants, has_extra)

    def _write(self, shard: str, path: str, seen: _Seen) -> int:
        """Write one file; return its size in bytes."""
        with scratch_folder() as folder:
            target = folder / "file"
            self._kind.write(self._samples(shard, seen), target, ExportOptions())
            size = target.stat().st_size
            self._store.put(path, target)
        self.written_bytes += size
        return size

    def _samples(self, shard: str, seen: _Seen) -> SampleStream:
        dataset, state = self._dataset, seen.states[shard]

        def pieces() -> Iterator[pa.Table]:
            return dataset.row_batches(_BATCH_IMAGES, buckets=bucket_range(shard))

        return SampleStream(
            dataset=dataset.head.dataset,
            digest=state.digest,
            rows=state.rows,
            image_shape=dataset.image_shape if state.rows else (0, 0, 0),
            has_variants=seen.has_variants,
            batches=lambda pixels: (Batch(rows, dataset.images(rows) if pixels else None) for rows in pieces()),
            encoded=lambda: (EncodedBatch(rows, dataset.encoded(rows)) for rows in pieces()),
            has_frames=dataset.has_frames,
            has_extra=seen.has_extra,
        )

    def _card(self, seen: _Seen) -> list[str]:
        """Write the card of a dataset of the hub's kind; return the path that it has, if there is one."""
        if self._name != _HUB_FORMAT:
            return []
        path = f"{layout.exports_of(self._name)}README.md"
        rows = sum(state.rows for state in seen.states.values())
        card = dataset_card(
            {"train": "train-*.parquet"}, f"{rows} images of the dataset `{self._dataset.head.dataset}`."
        )
        if not self._store.exists(path) or self._store.get(path).to_pybytes() != card.encode():
            self._store.put(path, card.encode())
        return [path]

    def _path(self, shard: str) -> str:
        number, of = parse_shard(shard)
        # The hub's way to name the files of a split, which others understand as well.
        suffix = ".parquet" if self._name == _HUB_FORMAT else self._kind.suffix
        return f"{layout.exports_of(self._name)}train-{number:05d}-of-{of:05d}{suffix}"

    @property
    def _record_path(self) -> str:
        return layout.export_record(self._name)

    def _put_record(self, record: dict[str, _Made]) -> None:
        content = {path: asdict(made) for path, made in record.items()}
        self._store.put(self._record_path, json.dumps(content, sort_keys=True, indent=1).encode() + b"\n")

    def _read_record(self) -> dict[str, _Made]:
        if not self._store.exists(self._record_path):
            return {}
        try:
            content = json.loads(self._store.get(self._record_path).to_pybytes())
            return {path: _Made(_State(**made["state"]), made["size_bytes"]) for path, made in content.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"{self._record_path} in store {self._store.url} is damaged: {error!r}; delete it and run again"
            ) from error
