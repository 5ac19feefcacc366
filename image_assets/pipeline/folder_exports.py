"""Exports that are a folder with a layout of its own, plain files or a Lance dataset; only what changed is written."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from image_assets.core.errors import ConfigError, StoreError
from image_assets.core.sharding import shard_names
from image_assets.formats import find_format
from image_assets.formats.files_folder import TABLE, write_files
from image_assets.formats.lance_folder import commit_fragments, lance_schema, load_lance, write_fragments
from image_assets.pipeline.reading import Dataset
from image_assets.pipeline.sample_streams import sample_stream, samples_of_part
from image_assets.pipeline.shard_states import Part, Seen, ShardState, look_at_parts
from image_assets.storage import layout
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store

_LANCE_DATASET = "data.lance"


@dataclass(frozen=True, slots=True)
class Brought:
    """What was done to bring an export in line: how many files it has, how many were written, with how many bytes."""

    files: int
    written: int
    written_bytes: int


def bring_files(store: Store, dataset: Dataset) -> Brought:
    """Bring ``exports/files/`` in line with a dataset: files named by content, so what is there is right.

    Raises:
        StoreError: the store does not answer.
        OSError: there is no room for the table.
    """
    folder, record = _StoreFolder(store, layout.exports_of("files")), layout.export_record("files")
    state = {"digest": dataset.digest, "outputs_a_frame": dataset.head.outputs_a_frame, "version": 1}
    text = json.dumps(state, sort_keys=True).encode() + b"\n"
    current = store.exists(record) and store.get(record).to_pybytes() == text
    if not current and store.exists(record):
        # First, so that it does not name a table that a killed run replaced, when the dataset is again what it was.
        store.delete(record)
    done = write_files(sample_stream(dataset), folder, table=not current or folder.first_line(TABLE) is None)
    if not current:
        store.put(record, text)
    return Brought(done.files, done.written, done.written_bytes)


def bring_lance(store: Store, dataset: Dataset) -> Brought:
    """Bring the Lance dataset ``exports/lance/data.lance`` in line with a dataset: each shard has fragments of its own.

    Raises:
        ConfigError: the store is no folder.
        MissingExtraError: Lance is not installed.
        StoreError: the store does not answer, or the Lance dataset is damaged.
        OSError: there is no room.
    """
    load_lance()
    if store.folder is None:
        raise ConfigError(f"lance is kept beside the index in folders only, and the store is {store.url}; use --output")
    return _LancePass(store, store.folder / layout.exports_of("lance") / _LANCE_DATASET, dataset).bring()


# By the name of the format: those whose unit is a folder.
FOLDER_EXPORTS: dict[str, Callable[[Store, Dataset], Brought]] = {"files": bring_files, "lance": bring_lance}


class _StoreFolder:
    """A folder of a store, as plain files are written to."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def paths(self) -> Iterator[str]:
        return (file.path.removeprefix(self._prefix) for file in self._store.list(self._prefix))

    def first_line(self, path: str) -> str | None:
        if not self._store.exists(self._prefix + path):
            return None
        with self._store.open(self._prefix + path) as file:
            return bytes(file.read(4096)).decode(errors="replace").split("\n")[0]

    def put(self, path: str, data: bytes) -> None:
        self._store.put(self._prefix + path, data)

    def put_lines(self, path: str, lines: Iterable[str]) -> None:
        with scratch_folder() as folder:
            target = folder / "lines"
            with target.open("w", encoding="utf-8", newline="") as file:
                file.writelines(lines)
            self._store.put(self._prefix + path, target)

    def delete(self, path: str) -> None:
        self._store.delete(self._prefix + path)


@dataclass(frozen=True, slots=True)
class _Fragments:
    """The data files of one shard, and of which state they are."""

    state: ShardState
    files: tuple[str, ...]


class _LancePass:
    """One look at an index, and the fragments that follow from it."""

    def __init__(self, store: Store, folder: Path, dataset: Dataset) -> None:
        self._store = store
        self._folder = folder
        self._dataset = dataset

    def bring(self) -> Brought:
        """Write the fragments of shards that changed, and make them and the kept ones the dataset."""
        there, record = self._fragments(), self._read_record()
        seen = look_at_parts(self._store, self._dataset, find_format("lance"), by_split=False)
        fragments: list[Any] = []
        parts: dict[str, _Fragments] = {}
        written = written_bytes = 0
        for shard in shard_names(self._dataset.head.num_shards):
            state, known = seen.states[Part(shard)], record.get(shard)
            if known is not None and known.state == state and set(known.files) <= there.keys():
                made = [there[path] for path in known.files]
            else:
                made = self._write(Part(shard), seen)
                written += 1
                written_bytes += sum(file.file_size_bytes or 0 for fragment in made for file in fragment.files)
            parts[shard] = _Fragments(state, tuple(file.path for fragment in made for file in fragment.files))
            fragments += made
        wanted = [path for part in parts.values() for path in part.files]
        if written or wanted != list(there) or parts.keys() != record.keys():
            anyone = samples_of_part(self._dataset, next(iter(seen.states)), seen)
            self._commit(lance_schema(anyone), fragments, wanted)
            self._put_record(parts)
        return Brought(len(wanted), written, written_bytes)

    def _write(self, part: Part, seen: Seen) -> list[Any]:
        self._folder.mkdir(parents=True, exist_ok=True)
        return write_fragments(samples_of_part(self._dataset, part, seen), self._folder)

    def _commit(self, schema: Any, fragments: list[Any], wanted: list[str]) -> None:
        commit_fragments(self._folder, schema, fragments)
        # Another run at the same moment takes for left behind what is not in its own version.
        if lost := [path for path in wanted if not self._data_file(path).is_file()]:
            raise StoreError(f"another run removed {lost[0]} from {self._folder}; run again")

    def _fragments(self) -> dict[str, Any]:
        """Return the fragment of each data file of the dataset, in its order; none when there is no dataset yet."""
        if not (self._folder / "_versions").is_dir():
            return {}
        try:
            found = [fragment.metadata for fragment in load_lance().dataset(str(self._folder)).get_fragments()]
        except (OSError, ValueError) as error:
            where = f"{layout.exports_of('lance')}{_LANCE_DATASET} in store {self._store.url}"
            raise StoreError(f"{where} is damaged: {str(error).splitlines()[0]}; delete it and run again") from error
        files = {file.path: fragment for fragment in found for file in fragment.files}
        return {path: fragment for path, fragment in files.items() if self._data_file(path).is_file()}

    def _data_file(self, path: str) -> Path:
        return self._folder / "data" / path

    def _put_record(self, parts: dict[str, _Fragments]) -> None:
        content = {shard: asdict(part) for shard, part in parts.items()}
        self._store.put(layout.export_record("lance"), json.dumps(content, sort_keys=True, indent=1).encode() + b"\n")

    def _read_record(self) -> dict[str, _Fragments]:
        path = layout.export_record("lance")
        if not self._store.exists(path):
            return {}
        try:
            content = json.loads(self._store.get(path).to_pybytes())
            return {
                shard: _Fragments(ShardState(**part["state"]), tuple(part["files"])) for shard, part in content.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"{path} in store {self._store.url} is damaged: {error!r}; delete it and run again"
            ) from error
