"""Writing a published dataset as the files users want: on request, and beside each new index."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from image_assets.core.errors import ConfigError, DatasetError, StoreError
from image_assets.formats import FORMATS, find_format, format_for_path
from image_assets.formats.base import Batch, EncodedBatch, ExportOptions, Format, SampleStream
from image_assets.pipeline.progress import Stage, stage
from image_assets.pipeline.reading import Dataset, open_dataset
from image_assets.pipeline.sample_streams import sample_stream
from image_assets.settings import Settings, is_url
from image_assets.storage import layout
from image_assets.storage.indexes import latest_index, read_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store

RECORD = f"{layout.EXPORTS}exports.json"
# What a folder given as a target gets.
_FOLDER_FORMATS = ("csv", "json", "parquet")
_PLAIN = ExportOptions()


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """What to write where: (format name, path) of each file, and how."""

    files: tuple[tuple[str, Path], ...]
    options: ExportOptions

    @classmethod
    def parse(cls, output: str, options: ExportOptions = _PLAIN, format_name: str | None = None) -> "ExportTarget":
        """Return the target that a path names: a file by its suffix, or the table formats in a folder.

        A folder is what is one already, or a path without suffix or with a slash at its end; but a Lance dataset is one
        file to whoever names it ``.lance``.

        Args:
            format_name: the format, whatever the suffix; one that is a folder is written into the path itself.

        Raises:
            ConfigError: the format does not exist, the suffix names none, or a file is in the folder's place.
        """
        path = Path(output).expanduser()
        is_folder = path.is_dir() or output.endswith("/") or not path.suffix
        if format_name is not None:
            inside = is_folder and find_format(format_name).unit != "folder"
            return cls(((format_name, path / _file_name(format_name) if inside else path),), options)
        if not is_folder or path.suffix.lower() == find_format("lance").suffix:
            return cls(((format_for_path(path), path),), options)
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is a file without a suffix that names a format; name a folder or another file")
        return cls(tuple((name, path / _file_name(name)) for name in _FOLDER_FORMATS), options)


def refuse_mixing(settings: Settings, target: ExportTarget) -> None:
    """Accept a target that is apart from what a dataset is made of and kept in, as far as it holds plain images.

    Raises:
        ConfigError: it lies in the source, whose next run would take what is written for raw images, or in the store.
    """
    sources = (settings.source, *settings.source.parts)
    places = [
        Path(place).resolve() for place in (settings.store, *(part.path for part in sources)) if not is_url(place)
    ]
    for name, path in target.files:
        inside = [place for place in places if place in (path.resolve(), *path.resolve().parents)]
        if inside and find_format(name).unit == "folder":
            raise ConfigError(f"{path} lies in {inside[0]}, which is the dataset's own; name a folder elsewhere")


def export_dataset(store_url: str, target: ExportTarget) -> list[Path]:
    """Write the newest index of a store to the target, making its folder, and return the files' paths.

    Raises:
        ConfigError: a format or normalization does not exist or does not fit.
        DatasetError: nothing was published in the store, or it was not measured (normalization ``dataset``).
        StoreError: the store does not answer or is damaged.
        OSError: a file cannot be written.
    """
    for name, path in target.files:
        path.parent.mkdir(parents=True, exist_ok=True)
        export_file(store_url, name, path, target.options)
    return [path for _, path in target.files]


def export_file(store_url: str, format_name: str, target: Path, options: ExportOptions) -> None:
    """Write the newest index of a store as one file, in an existing folder.

    Raises:
        ConfigError: the format or normalization does not exist or does not fit.
        DatasetError: nothing was published in the store.
        StoreError: the store does not answer or is damaged.
        OSError: the file cannot be written.
    """
    kind = find_format(format_name)
    with open_dataset(store_url) as dataset:
        if options.normalization == "dataset":
            options = replace(options, channels=dataset.channel_statistics())
        with stage(f"write {target.name}", "rows", total=len(dataset)) as told:
            kind.write(_counted(sample_stream(dataset), told), target, options)


def _counted(samples: SampleStream, told: Stage) -> SampleStream:
    """Return the same samples; the rows whose pixels are given out count as done."""

    def batches(with_images: bool) -> Iterator[Batch]:
        for batch in samples.batches(with_images):
            yield batch
            told.advance(batch.rows.num_rows if with_images else 0)

    def encoded(only: Callable[[pa.Table], pa.Table] | None = None, /) -> Iterator[EncodedBatch]:
        for batch in samples.encoded(only):
            yield batch
            told.advance(batch.rows.num_rows)

    return replace(samples, batches=batches, encoded=encoded)


def write_exports(store: Store, formats: Sequence[str]) -> list[str]:
    """Bring ``exports/index.*`` in line with the newest index; return the names of the formats written anew.

    Raises:
        ConfigError: a format does not exist.
        DatasetError: nothing was published in the store.
        StoreError: the store does not answer or is damaged.
    """
    kinds = {name: find_format(name) for name in formats}
    with in_use(store):
        return _write_stale(store, kinds)


def _write_stale(store: Store, kinds: Mapping[str, Format]) -> list[str]:
    written: list[str] = []
    while True:
        number = latest_index(store)
        if not number and kinds:
            raise DatasetError(f"no published dataset in {store.url} to export; `image-assets run` publishes one")
        record = _drop_others(store, _read_record(store))
        stale = [name for name in kinds if name in written or not _is_current(store, name, number, record)]
        if stale:
            with Dataset(store, read_index_head(store, number)) as dataset:
                samples = sample_stream(dataset)
                for name in stale:
                    _write_export(store, name, number, samples)
        written += [name for name in stale if name not in written]
        # A run that published a newer index meanwhile may have written first: the last to write must write the newest.
        if not stale or latest_index(store) == number:
            return written


def _write_export(store: Store, name: str, number: int, samples: SampleStream) -> None:
    with scratch_folder() as folder:
        path = folder / _file_name(name)
        find_format(name).write(samples, path, ExportOptions())
        store.put(_export_path(name), path)
    # Last, so that a run killed before it writes the file again. Read anew: another run may have added to it.
    made = {"index_number": number, "digest": samples.digest}
    _put_record(store, {**_read_record(store), name: made})


def _put_record(store: Store, record: dict[str, dict[str, Any]]) -> None:
    store.put(RECORD, json.dumps(record, sort_keys=True, indent=2).encode() + b"\n")


def _drop_others(store: Store, record: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Remove what an earlier version wrote as one file and is one a shard now; return the record without it."""
    others = [name for name in record if name not in FORMATS or FORMATS[name].unit != "file"]
    for name in others:
        if name in FORMATS:
            store.delete(_export_path(name))
    kept = {name: made for name, made in record.items() if name not in others}
    if others:
        _put_record(store, kept)
    return kept


def _is_current(store: Store, name: str, number: int, record: dict[str, dict[str, Any]]) -> bool:
    # The file too: one that somebody removed is missing whatever the record says.
    return record.get(name, {}).get("index_number") == number and store.exists(_export_path(name))


def _read_record(store: Store) -> dict[str, dict[str, Any]]:
    if not store.exists(RECORD):
        return {}
    try:
        content = json.loads(store.get(RECORD).to_pybytes())
        return {name: {field: made[field] for field in ("index_number", "digest")} for name, made in content.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{RECORD} in store {store.url} is damaged: {error!r}; delete it and run again") from error


def _export_path(name: str) -> str:
    return f"{layout.EXPORTS}{_file_name(name)}"


def _file_name(name: str) -> str:
    return f"index{find_format(name).suffix}"
