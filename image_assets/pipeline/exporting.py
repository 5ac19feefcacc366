"""Writing a published dataset as the files users want: on request, and beside each new index."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_assets.core.errors import ConfigError, DatasetError, StoreError
from image_assets.formats import find_format, format_for_path
from image_assets.formats.base import Batch, EncodedBatch, ExportOptions, Format, Normalization, SampleStream
from image_assets.pipeline.reading import Dataset, open_dataset
from image_assets.storage import layout
from image_assets.storage.indexes import latest_index, read_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store

RECORD = f"{layout.EXPORTS}exports.json"
# What a folder given as a target gets.
_FOLDER_FORMATS = ("csv", "json", "parquet")
# Pixels of a batch; as float32 they are four times that.
_BATCH_BYTES = 8 * 2**20
_BATCH_IMAGES = 256
_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """What to write where: (format name, path) of each file, and how."""

    files: tuple[tuple[str, Path], ...]
    options: ExportOptions

    @classmethod
    def parse(cls, output: str, *, image_array: bool = False, normalization: Normalization = "none") -> "ExportTarget":
        """Return the target that a path names: a file by its suffix, or the table formats in a folder.

        A folder is what is one already, or a path without suffix or with a slash at its end.

        Raises:
            ConfigError: the suffix names no format, or a file is in the folder's place.
        """
        path = Path(output).expanduser()
        options = ExportOptions(image_array=image_array, normalization=normalization)
        if not (path.is_dir() or output.endswith("/") or not path.suffix):
            return cls(((format_for_path(path), path),), options)
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is a file without a suffix that names a format; name a folder or another file")
        return cls(tuple((name, path / _file_name(name)) for name in _FOLDER_FORMATS), options)


def export_dataset(store_url: str, target: ExportTarget) -> list[Path]:
    """Write the newest index of a store to the target, making its folder, and return the files' paths.

    Raises:
        ConfigError: a format or normalization does not exist or does not fit.
        DatasetError: nothing was published in the store.
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
        kind.write(sample_stream(dataset), target, options)


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
        record = _read_record(store)
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


def sample_stream(dataset: Dataset) -> SampleStream:
    """Return a dataset as the formats see it."""
    shape = dataset.image_shape
    image_bytes = max(1, shape[0] * shape[1] * shape[2])
    batch_images = max(1, min(_BATCH_IMAGES, _BATCH_BYTES // image_bytes))

    def batches(with_images: bool) -> Iterator[Batch]:
        for rows in dataset.row_batches(batch_images if with_images else _BATCH_ROWS):
            yield Batch(rows, dataset.images(rows) if with_images else None)

    def encoded() -> Iterator[EncodedBatch]:
        for rows in dataset.row_batches(_BATCH_IMAGES):
            yield EncodedBatch(rows, dataset.encoded(rows))

    return SampleStream(
        dataset=dataset.head.dataset,
        digest=dataset.digest,
        rows=len(dataset),
        image_shape=shape,
        has_variants=dataset.has_variants,
        batches=batches,
        encoded=encoded,
        has_frames=dataset.has_frames,
        has_extra=dataset.has_extra,
    )


def _write_export(store: Store, name: str, number: int, samples: SampleStream) -> None:
    with scratch_folder() as folder:
        path = folder / _file_name(name)
        find_format(name).write(samples, path, ExportOptions())
        store.put(_export_path(name), path)
    # Last, so that a run killed before it writes the file again. Read anew: another run may have added to it.
    made = {"index_number": number, "digest": samples.digest}
    record = {**_read_record(store), name: made}
    store.put(RECORD, json.dumps(record, sort_keys=True, indent=2).encode() + b"\n")


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
