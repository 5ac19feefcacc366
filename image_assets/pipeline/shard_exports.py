"""Exports beside the newest index as assets: a file a shard and split, written when rows changed."""

import json
from dataclasses import asdict, dataclass

from image_assets.checks.base import Verdict
from image_assets.core.errors import StoreError
from image_assets.core.index import IndexHead
from image_assets.formats import find_format
from image_assets.formats.base import ExportOptions, Format
from image_assets.formats.dataset_card import dataset_card
from image_assets.pipeline.export_size import announce
from image_assets.pipeline.folder_exports import FOLDER_EXPORTS, Brought
from image_assets.pipeline.reading import Dataset
from image_assets.pipeline.sample_streams import samples_of_part
from image_assets.pipeline.shard_states import Part, Seen, ShardState, look_at_parts
from image_assets.storage import layout
from image_assets.storage.indexes import latest_index, published_head
from image_assets.storage.locks import in_use
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store

_HUB_FORMAT = "huggingface"
# So often the record is written while all files are; it is as long as there are files.
_RECORDS = 64
# What the hub calls them.
_HUB_SPLITS = {"val": "validation"}


@dataclass(frozen=True, slots=True)
class ShardExport:
    """The files of one format after this step; ``written`` of them were written by it, with ``written_bytes``."""

    format: str
    index: IndexHead
    files: int
    written: int
    written_bytes: int
    verdicts: tuple[Verdict, ...] = ()

    @property
    def index_digest(self) -> str:
        """The digest of the index that the files follow."""
        return self.index.digest

    @property
    def facts(self) -> dict[str, str | int | float]:
        """What the export holds and what was written of it."""
        return {
            "dagster/row_count": self.index.rows,
            "files": self.files,
            "files_written": self.written,
            "written_bytes": self.written_bytes,
            "index_number": self.index.number,
            "index_digest": self.index.digest,
        }


@dataclass(frozen=True, slots=True)
class _Made:
    """A file that was written: of which state, and how long it is."""

    state: ShardState
    size_bytes: int


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
            index = published_head(store)
            with Dataset(store, index) as dataset:
                if kind.unit == "folder":
                    brought = FOLDER_EXPORTS[name](store, dataset)
                else:
                    brought = _Pass(store, name, kind, dataset).bring()
            written += brought.written
            written_bytes += brought.written_bytes
            # A run that published a newer index meanwhile may have written first: the last to write writes the newest.
            if latest_index(store) == index.number:
                return ShardExport(name, index, brought.files, written, written_bytes)


def is_sharded(name: str) -> bool:
    """Return whether a format beside the index is an asset of its own: one file a shard, or a folder.

    Raises:
        ConfigError: the format does not exist.
    """
    return find_format(name).unit != "file"


class _Pass:
    """One look at an index, and the files that follow from it."""

    def __init__(self, store: Store, name: str, kind: Format, dataset: Dataset) -> None:
        self._store = store
        self._name = name
        self._kind = kind
        self._dataset = dataset

    def bring(self) -> Brought:
        """Write what is missing or behind and remove what is too much."""
        there = {file.path: file.size_bytes for file in self._store.list(layout.exports_of(self._name))}
        seen = look_at_parts(self._store, self._dataset, self._kind, by_split=True)
        record = self._read_record()
        states, files = seen.states, {part: self._path(part) for part in seen.states}
        stale = [part for part, path in files.items() if record.get(path) != _Made(states[part], there.get(path, -1))]
        announce(self._name, self._dataset.head, [states[part].rows for part in stale], seen.image_shape)
        current = {files[part]: record[files[part]] for part in files.keys() - set(stale)}
        if stale:
            # First, so that no file that a killed run replaced counts when its rows are again what they were.
            self._put_record(current)
        step = 1 + len(files) // _RECORDS
        for number, part in enumerate(stale, start=1):
            current[files[part]] = _Made(states[part], self._write(part, files[part], seen))
            # Some files at a time, so that after a run that was killed the next one writes the others only.
            if number % step == 0 or number == len(stale):
                self._put_record(current)
        wanted = {*files.values(), self._record_path, *self._card(seen)}
        for path in sorted(there.keys() - wanted):
            self._store.delete(path)
        return Brought(len(files), len(stale), sum(current[files[part]].size_bytes for part in stale))

    def _write(self, part: Part, path: str, seen: Seen) -> int:
        """Write one file; return its size in bytes."""
        with scratch_folder() as folder:
            target = folder / "file"
            self._kind.write(samples_of_part(self._dataset, part, seen), target, ExportOptions())
            size = target.stat().st_size
            self._store.put(path, target)
        return size

    def _card(self, seen: Seen) -> list[str]:
        """Write the card of a dataset of the hub's kind; return the path that it has, if there is one."""
        if self._name != _HUB_FORMAT:
            return []
        path = f"{layout.exports_of(self._name)}README.md"
        rows = sum(state.rows for state in seen.states.values())
        splits = dict.fromkeys(part.name.partition("-")[0] for part in seen.states)
        patterns = {_HUB_SPLITS.get(split, split): f"{split}-*.parquet" for split in splits}
        card = dataset_card(patterns, f"{rows} images of the dataset `{self._dataset.head.dataset}`.")
        if not self._store.exists(path) or self._store.get(path).to_pybytes() != card.encode():
            self._store.put(path, card.encode())
        return [path]

    def _path(self, part: Part) -> str:
        suffix = ".parquet" if self._name == _HUB_FORMAT else self._kind.suffix
        return f"{layout.exports_of(self._name)}{part.name}{suffix}"

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
            return {path: _Made(ShardState(**made["state"]), made["size_bytes"]) for path, made in content.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"{self._record_path} in store {self._store.url} is damaged: {error!r}; delete it and run again"
            ) from error
