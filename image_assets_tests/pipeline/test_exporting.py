"""Exports of a published dataset: on request, and kept up to date beside each index."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from image_assets import open_dataset
from image_assets.core.errors import ConfigError, DatasetError, StoreError
from image_assets.formats import FORMATS
from image_assets.formats.base import ExportOptions, Normalization, SampleStream
from image_assets.formats.csv_file import CsvFile
from image_assets.formats.json_file import JsonFile
from image_assets.formats.normalize import normalize
from image_assets.pipeline.exporting import RECORD, ExportTarget, export_dataset, export_file, write_exports
from image_assets.storage.store import Store
from image_assets_tests.datasets import Look, awkward_pictures, pictures, publish_dataset
from image_assets_tests.formats.readers import AVAILABLE, READERS

ALL = sorted(name for name, kind in FORMATS.items() if kind.unit == "file")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return publish_dataset(tmp_path / "store", awkward_pictures(), Look(variants=1))


@pytest.mark.parametrize("name", AVAILABLE)
def test_an_export_holds_what_the_dataset_holds(name: str, store: Store, tmp_path: Path) -> None:
    normalization: Normalization = "none" if FORMATS[name].encoded else "-1-1"
    export_file(store.url, name, tmp_path / "out", ExportOptions(image_array=True, normalization=normalization))
    back = READERS[name](tmp_path / "out")
    with open_dataset(store.url) as dataset:
        table = dataset.table()
        pixels = normalize(dataset.images(table), normalization)
    assert back.filenames == table["key"].to_pylist()
    assert back.variants == table["variant"].to_pylist()
    np.testing.assert_array_equal(back.images.astype(np.float32), pixels)


def test_an_export_goes_through_more_than_one_batch(tmp_path: Path) -> None:
    # 24 MB of pixels; a batch is 8 MB.
    look = Look(width_px=1000, height_px=2000)
    publish_dataset(tmp_path / "store", pictures(4), look)
    export_file(str(tmp_path / "store"), "numpy", tmp_path / "out.npz", ExportOptions())
    with open_dataset(tmp_path / "store") as dataset:
        np.testing.assert_array_equal(READERS["numpy"](tmp_path / "out.npz").images, dataset.images(dataset.table()))


@pytest.mark.parametrize("folder", ["new/deep", "there", "with.suffix/"])
def test_a_folder_gets_the_table_formats(folder: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    paths = export_dataset(store.url, ExportTarget.parse(f"{tmp_path}/{folder}", ExportOptions(image_array=True)))
    assert paths == [tmp_path / folder / f"index.{name}" for name in ("csv", "json", "parquet")]
    with open_dataset(store.url) as dataset:
        keys = dataset.table(["key"])["key"].to_pylist()
    assert [READERS[path.suffix[1:]](path).filenames for path in paths] == [keys] * 3


def test_a_file_is_written_in_the_format_of_its_suffix(store: Store, tmp_path: Path) -> None:
    target = ExportTarget.parse(str(tmp_path / "new" / "tensors.HDF5"), ExportOptions(normalization="0-1"))
    assert target == ExportTarget((("hdf5", tmp_path / "new/tensors.HDF5"),), ExportOptions(normalization="0-1"))
    [path] = export_dataset(store.url, target)
    assert READERS["hdf5"](path).images.max() <= 1


def test_an_output_nobody_can_write_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in '\.xlsx', which names no format"):
        ExportTarget.parse(str(tmp_path / "table.xlsx"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="is a file without a suffix"):
        ExportTarget.parse(str(tmp_path / "file"))


def test_exporting_an_unknown_format_or_nothing_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown format 'xml'"):
        export_file(store.url, "xml", tmp_path / "out", ExportOptions())
    with pytest.raises(DatasetError, match="no published dataset"):
        export_file(str(tmp_path / "nowhere"), "csv", tmp_path / "out", ExportOptions())


def test_exports_are_written_once_for_each_index(store: Store) -> None:
    assert write_exports(store, ALL) == ALL
    assert write_exports(store, ALL) == []
    publish_dataset(store.url, pictures(3))
    assert write_exports(store, ["json", "csv"]) == ["json", "csv"]
    assert write_exports(store, ["csv", "json"]) == []
    assert exported_keys(store) == sorted(item.key for item in pictures(3))


def test_a_format_added_later_is_the_only_one_written(store: Store) -> None:
    write_exports(store, ["csv"])
    assert write_exports(store, ["csv", "parquet"]) == ["parquet"]


def test_the_record_says_which_index_each_export_was_made_from(store: Store) -> None:
    write_exports(store, ["csv", "jsonl"])
    publish_dataset(store.url, pictures(3))
    write_exports(store, ["csv"])
    with open_dataset(store.url, snapshot=1) as first, open_dataset(store.url) as second:
        digests = first.digest, second.digest
    assert json.loads(store.get(RECORD).to_pybytes()) == {
        "csv": {"index_number": 2, "digest": digests[1]},
        "jsonl": {"index_number": 1, "digest": digests[0]},
    }


def test_what_was_one_file_in_an_earlier_version_goes(store: Store) -> None:
    write_exports(store, ["csv"])
    (exports(store) / "index.h5").write_bytes(b"older")
    record = json.loads(store.get(RECORD).to_pybytes())
    store.put(RECORD, json.dumps({**record, "hdf5": record["csv"], "gone": record["csv"]}).encode())
    assert write_exports(store, ["csv"]) == []
    assert json.loads(store.get(RECORD).to_pybytes()) == record
    assert sorted(path.name for path in exports(store).iterdir()) == ["exports.json", "index.csv"]


@pytest.mark.parametrize(
    ("output", "name", "path"),
    [
        ("new", "files", "new"),
        ("new/", "npy", "new/index.npy"),
        ("odd.name", "csv", "odd.name"),
        ("photos.lance", None, "photos.lance"),
    ],
)
def test_a_format_that_is_named_needs_no_suffix(output: str, name: str | None, path: str, tmp_path: Path) -> None:
    ((found, where),) = ExportTarget.parse(f"{tmp_path}/{output}", format_name=name).files
    assert (found, where) == (name or "lance", tmp_path / path)


def test_a_removed_export_is_written_again(store: Store) -> None:
    write_exports(store, ["csv", "json"])
    (exports(store) / "index.csv").unlink()
    assert write_exports(store, ["csv", "json"]) == ["csv"]


def test_a_run_killed_before_its_record_writes_that_export_again(store: Store) -> None:
    write_exports(store, ["csv"])
    before = store.get(RECORD).to_pybytes()
    publish_dataset(store.url, pictures(3))
    write_exports(store, ["csv"])
    store.put(RECORD, before)
    assert write_exports(store, ["csv"]) == ["csv"]


def test_a_damaged_record_is_refused_saying_what_to_do(store: Store) -> None:
    store.put(RECORD, b"[1]")
    with pytest.raises(StoreError, match=r"exports/exports\.json .* is damaged: .*; delete it and run again"):
        write_exports(store, ["csv"])


def test_an_unknown_format_stops_before_any_export_is_written(store: Store) -> None:
    with pytest.raises(ConfigError, match="unknown format 'xml'"):
        write_exports(store, ["csv", "xml"])
    assert not exports(store).exists()


def test_a_store_without_an_index_has_nothing_to_export(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(DatasetError, match=r"no published dataset in .* to export"):
        write_exports(store, ["csv"])
    assert write_exports(store, []) == []


def test_an_index_published_meanwhile_is_the_one_that_ends_up_exported(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run publishes and exports index 2 while this one is still writing index 1."""

    def overtake() -> None:
        publish_dataset(store.url, pictures(3))
        monkeypatch.setitem(FORMATS, "csv", CsvFile())
        assert write_exports(store, ["csv"]) == ["csv"]

    monkeypatch.setitem(FORMATS, "csv", SlowCsv(overtake))
    assert write_exports(store, ["csv"]) == ["csv"]
    assert exported_keys(store) == sorted(item.key for item in pictures(3))
    assert json.loads(store.get(RECORD).to_pybytes())["csv"]["index_number"] == 2


def test_a_record_of_another_run_does_not_hide_an_export_that_was_overwritten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run wrote the CSV of index 2 before this one wrote that of index 1, and notes so only after it."""

    def note_late() -> None:
        publish_dataset(store.url, pictures(3))
        with open_dataset(store.url) as dataset:
            made = {"index_number": 2, "digest": dataset.digest}
        store.put(RECORD, json.dumps({"csv": made}).encode())
        monkeypatch.setitem(FORMATS, "json", JsonFile())

    monkeypatch.setitem(FORMATS, "json", SlowJson(note_late))
    assert write_exports(store, ["csv", "json"]) == ["csv", "json"]
    assert exported_keys(store) == sorted(item.key for item in pictures(3))


class SlowJson(JsonFile):
    """A JSON plug-in that lets somebody else run while it writes."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        super().write(samples, target, options)
        self._meanwhile()


class SlowCsv(CsvFile):
    """A CSV plug-in that lets somebody else run while it writes."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        super().write(samples, target, options)
        self._meanwhile()


def exports(store: Store) -> Path:
    return Path(store.url) / "exports"


def exported_keys(store: Store) -> list[str]:
    rows = json.loads((exports(store) / "index.json").read_text()) if (exports(store) / "index.json").exists() else None
    lines = (exports(store) / "index.csv").read_text().splitlines()[1:]
    keys = sorted(line.split(",")[0] for line in lines)
    assert rows is None or sorted(row["filename"] for row in rows) == keys
    return keys
