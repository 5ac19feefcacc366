"""What every format promises, asked of each one that is registered."""

import gc
import signal
import subprocess
import sys
import time
import tracemalloc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from image_assets.core.errors import ConfigError
from image_assets.formats import FORMATS, find_format, format_for_path
from image_assets.formats.base import Batch, EncodedBatch, ExportOptions, SampleStream
from image_assets.formats.normalize import normalize
from image_assets_tests.datasets import Look, awkward_pictures, pictures, stream_of
from image_assets_tests.formats.readers import AVAILABLE, READERS
from image_assets_tests.formats.write_all import write_all

every_format = pytest.mark.parametrize("name", AVAILABLE)
ENCODED = sorted(name for name, kind in FORMATS.items() if kind.encoded)
FOLDERS = {name for name, kind in FORMATS.items() if kind.unit == "folder"}
every_file_format = pytest.mark.parametrize("name", sorted(set(FORMATS) - FOLDERS))
every_folder_format = pytest.mark.parametrize("name", sorted(FOLDERS & set(AVAILABLE)))
# Those that hold pixels as numbers, which can be normalised.
pixel_formats = pytest.mark.parametrize("name", sorted(set(FORMATS) - set(ENCODED)))
PIXELS = ExportOptions(image_array=True)


def expected(stream: SampleStream) -> tuple[list[str], list[str | None], np.ndarray]:
    batches = list(stream.batches(True))
    rows = pa.concat_tables([batch.rows for batch in batches])
    return rows["key"].to_pylist(), rows["label"].to_pylist(), np.concatenate([batch.images for batch in batches])


@every_format
def test_awkward_names_labels_and_all_pixels_come_back(name: str, tmp_path: Path) -> None:
    stream = stream_of(awkward_pictures())
    FORMATS[name].write(stream, tmp_path / "out", PIXELS)
    back = READERS[name](tmp_path / "out")
    filenames, labels, images = expected(stream)
    # CSV has no word for nothing: a missing and an empty label read the same there.
    assert back.labels == ([label or "" for label in labels] if name in ("csv", "files") else labels)
    assert back.filenames == filenames
    np.testing.assert_array_equal(back.images, images)


@pixel_formats
@pytest.mark.parametrize("real", ["float32", "float16"])
@pytest.mark.parametrize("normalization", ["0-1", "-1-1", "imagenet"])
def test_normalised_pixels_come_back(name: str, normalization: str, real: str, tmp_path: Path) -> None:
    stream = stream_of(pictures(6))
    FORMATS[name].write(stream, tmp_path / "out", ExportOptions(True, normalization, real))
    back = READERS[name](tmp_path / "out").images
    # Text has no types of its own.
    assert name in ("csv", "json", "jsonl") or back.dtype == real
    np.testing.assert_array_equal(back.astype(real), normalize(expected(stream)[2], normalization, real))


@every_format
def test_variants_are_told_apart_when_there_are_any(name: str, tmp_path: Path) -> None:
    FORMATS[name].write(stream_of(pictures(3), Look(variants=2)), tmp_path / "out", PIXELS)
    assert READERS[name](tmp_path / "out").variants == [0, 1, 2] * 3


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"parquet", *ENCODED}))
def test_nothing_is_said_of_variants_when_there_are_none(name: str, tmp_path: Path) -> None:
    FORMATS[name].write(stream_of(pictures(3)), tmp_path / "out", PIXELS)
    assert READERS[name](tmp_path / "out").variants is None


@every_format
@pytest.mark.parametrize("normalization", ["none", "imagenet"])
def test_an_empty_dataset_gives_a_file_without_rows(name: str, normalization: str, tmp_path: Path) -> None:
    asked = "none" if FORMATS[name].encoded else normalization
    FORMATS[name].write(stream_of([]), tmp_path / "out", ExportOptions(image_array=True, normalization=asked))
    back = READERS[name](tmp_path / "out")
    assert (back.filenames, back.labels, back.images.shape) == ([], [], (0, 0, 0, 0))


@every_format
def test_grayscale_images_come_back(name: str, tmp_path: Path) -> None:
    stream = stream_of(pictures(5), Look(channels=1))
    FORMATS[name].write(stream, tmp_path / "out", PIXELS)
    np.testing.assert_array_equal(READERS[name](tmp_path / "out").images, expected(stream)[2])


@every_file_format
def test_a_normalization_that_does_not_fit_leaves_the_old_file(name: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    says = f"{name} keeps images encoded" if FORMATS[name].encoded else "needs RGB images, these have 1 channel"
    with pytest.raises(ConfigError, match=says):
        FORMATS[name].write(stream_of(pictures(5), Look(channels=1)), target, ExportOptions(True, "imagenet"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out": b"old"}


def test_another_process_writes_the_same_bytes_at_another_time(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here = write_all(tmp_path / "here")
    # HDF5 notes times in whole seconds and zip in steps of two: an earlier file would show it if ours did.
    time.sleep(2.1)
    subprocess.run([sys.executable, "-m", "image_assets_tests.formats.write_all", tmp_path / "there"], check=True)
    different = [name for name, data in here.items() if (tmp_path / "there" / name).read_bytes() != data]
    assert different == []


@every_file_format
def test_a_writer_killed_half_way_leaves_the_old_file(name: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    command = [sys.executable, "-m", "image_assets_tests.formats.kill_while_writing", name, target]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    # It was killed while it wrote, not before.
    assert len(list(tmp_path.glob(".image-assets-*.part"))) == 1


@every_file_format
def test_a_writer_that_fails_half_way_leaves_the_old_file_and_nothing_else(name: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    stream = stream_of(pictures(12))

    def batches(with_images: bool) -> Iterator[Batch]:
        for number, batch in enumerate(stream.batches(with_images)):
            if with_images and number == 2:
                raise OSError("the disk is gone")
            yield batch

    def encoded(*only: Any) -> Iterator[EncodedBatch]:
        yield next(stream.encoded(*only))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        FORMATS[name].write(replace(stream, batches=batches, encoded=encoded), target, PIXELS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out": b"old"}


@every_file_format
def test_a_file_replaces_an_older_one_and_is_readable_like_any_other(name: str, tmp_path: Path) -> None:
    target, other = tmp_path / "out", tmp_path / "other"
    target.write_bytes(b"old")
    other.write_bytes(b"")
    FORMATS[name].write(stream_of(pictures(3)), target, PIXELS)
    assert len(READERS[name](target).filenames) == 3
    assert target.stat().st_mode == other.stat().st_mode


@pixel_formats
@pytest.mark.parametrize("normalization", ["none", "0-1"])
def test_no_batch_is_held_beyond_the_one_in_hand(name: str, normalization: str, tmp_path: Path) -> None:
    stream = stream_of(pictures(40))
    images: list[weakref.ref[np.ndarray]] = []
    most_alive = 0

    def batches(with_images: bool) -> Iterator[Batch]:
        nonlocal most_alive
        for batch in stream.batches(with_images):
            most_alive = max(most_alive, sum(image() is not None for image in images))
            if batch.images is not None:
                images.append(weakref.ref(batch.images))
            yield batch
            del batch

    counting = replace(stream, batches=batches)
    FORMATS[name].write(counting, tmp_path / "out", ExportOptions(image_array=True, normalization=normalization))
    assert len(images) == 10
    assert most_alive <= 1


@every_folder_format
def test_a_folder_is_brought_from_any_state_to_what_is_asked_for(name: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    FORMATS[name].write(stream_of(pictures(9)), target, PIXELS)
    command = [sys.executable, "-m", "image_assets_tests.formats.kill_while_writing", name, target]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    # What is there after the kill is the older dataset, whole, perhaps with files that it does not name.
    FORMATS[name].write(stream_of(pictures(5)), target, PIXELS)
    assert READERS[name](target).filenames == expected(stream_of(pictures(5)))[0]


@every_folder_format
def test_a_file_in_the_place_of_a_folder_is_refused_and_stays(name: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(FileExistsError, match="is a file; name a folder"):
        FORMATS[name].write(stream_of(pictures(5)), tmp_path / "out", PIXELS)
    with pytest.raises(ConfigError, match=f"{name} keeps images encoded"):
        FORMATS[name].write(stream_of(pictures(5)), tmp_path / "out", ExportOptions(True, "0-1"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out": b"old"}


@every_format
def test_memory_does_not_grow_with_the_dataset(name: str, tmp_path: Path) -> None:
    look = Look(width_px=40, height_px=40)
    batch_bytes = 4 * 40 * 40 * 3

    def peak_bytes(count: int) -> int:
        """NumPy's and Python's peak, and Arrow's, which is looked at before each batch is made."""
        stream = stream_of(pictures(count), look)
        arrow_base, arrow_peak = pa.total_allocated_bytes(), 0

        def batches(with_images: bool) -> Iterator[Batch]:
            nonlocal arrow_peak
            for batch in stream.batches(with_images):
                arrow_peak = max(arrow_peak, pa.total_allocated_bytes() - arrow_base)
                yield batch

        def encoded(*only: Any) -> Iterator[EncodedBatch]:
            nonlocal arrow_peak
            for batch in stream.encoded(*only):
                arrow_peak = max(arrow_peak, pa.total_allocated_bytes() - arrow_base)
                yield batch

        gc.collect()
        tracemalloc.start()
        FORMATS[name].write(replace(stream, batches=batches, encoded=encoded), tmp_path / "out", PIXELS)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak + arrow_peak

    peak_bytes(8)  # what is imported and cached on first use
    # 12 batches more: to hold their pixels would take 12; what formats note of 48 more samples is less than 2. Those
    # of encoded images hold row groups of a hundred.
    more = 230 if FORMATS[name].encoded else 0
    if name == "files":
        # Eight threads have an image each and one that waits, as the disk goes, and the newest 65,536 names wait to be
        # packed: 500 bytes each, not 4,800.
        assert peak_bytes(264 + more) - peak_bytes(44 + more) < 16 * 4_800 + 220 * 500
        return
    assert peak_bytes(64 + more) - peak_bytes(16 + more) < 2 * batch_bytes


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("out.csv", "csv"),
        ("folder.csv/out.JSON", "json"),
        ("out.tar.parquet", "parquet"),
        ("out.npz", "numpy"),
        ("out.h5", "hdf5"),
        ("out.hdf5", "hdf5"),
        ("out.jsonl", "jsonl"),
        ("out.ndjson", "jsonl"),
        ("out.tfrecord", "tfrecord"),
        ("out.tfrecords", "tfrecord"),
        ("out.tar", "webdataset"),
        ("train.hf.parquet", "huggingface"),
        ("hf.parquet", "parquet"),
        ("out.npy", "npy"),
        ("out.LANCE", "lance"),
    ],
)
def test_a_suffix_names_a_format(path: str, name: str) -> None:
    assert format_for_path(path) == name


# A name that starts with a dot has no suffix.
@pytest.mark.parametrize("path", ["out.xlsx", "out", ".csv"])
def test_another_suffix_is_refused_naming_the_known_ones(path: str) -> None:
    with pytest.raises(
        ConfigError,
        match=r"known: \.csv, \.h5 or \.hdf5, \.hf\.parquet, \.json, \.jsonl or \.ndjson, \.lance, \.npy, \.npz",
    ):
        format_for_path(path)


def test_an_unknown_format_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown format 'xml'; known: csv, files, hdf5, huggingface, json, jsonl"):
        find_format("xml")
