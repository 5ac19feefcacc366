"""Samples as every framework gets them, read from real stores, without any framework."""

import io
import os
import pickle
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from image_assets import loaders, open_dataset
from image_assets.core.errors import ConfigError, DatasetError, MissingExtraError
from image_assets.formats.normalize import normalize
from image_assets.loaders.decoding import decode
from image_assets.loaders.order import Epoch, Order, Share
from image_assets.loaders.sampler import RowSampler
from image_assets.loaders.samples import LoadOptions, SampleReader
from image_assets.loaders.snapshot import PinnedSnapshot
from image_assets_tests.datasets import Look, pictures, pixels_of, publish_dataset
from image_assets_tests.servers import Server

COUNT = 150
NUMBERS = {item.key: item.number for item in pictures(COUNT)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    # Segments of 70 images have two row groups.
    publish_dataset(folder / "store", pictures(COUNT), images_per_segment=70)
    return folder / "store"


@pytest.fixture
def reader(store: Path) -> SampleReader:
    return _reader(store, LoadOptions(columns=("key",)))


def _reader(store: Path | str, options: LoadOptions, kept_rows: int = 1000) -> SampleReader:
    with open_dataset(store) as dataset:
        return SampleReader(PinnedSnapshot(dataset, options.rows), options, kept_rows=kept_rows)


def test_samples_have_their_pixels_class_ids_and_columns(store: Path, reader: SampleReader) -> None:
    order = np.random.default_rng(0).permutation(COUNT)
    with open_dataset(store) as dataset:
        labels = dataset.table(["label"])["label"].to_pylist()
    ids = {"a": 0, "b": 1, None: -1}
    assert reader.snapshot.plan().label_names == ("a", "b")
    for row, sample in zip(order, reader.read(order, 0), strict=True):
        np.testing.assert_array_equal(sample["image"], pixels_of(NUMBERS[sample["key"]]))
        assert sample["label"] == ids[labels[row]]


def test_chosen_rows_are_counted_anew(store: Path) -> None:
    chosen = [7, 140, 3]
    reader = _reader(store, LoadOptions(rows=chosen, columns=("key",)))
    with open_dataset(store) as dataset:
        keys = [dataset.values(row, ["key"])["key"] for row in chosen]
    assert [sample["key"] for sample in reader.read([0, 1, 2], 0)] == keys
    assert sorted(RowSampler(reader.snapshot, Order(), Share())) == [0, 1, 2]
    for wrong in ([0, 0], [-1], [COUNT]):
        with pytest.raises(ConfigError, match="chosen"):
            _reader(store, LoadOptions(rows=wrong))


def test_a_reader_pickles_as_a_name_however_much_it_has_read(reader: SampleReader) -> None:
    before = list(reader.read(range(COUNT), 0))
    data = pickle.dumps(reader)
    assert len(data) < 1500
    for one, other in zip(pickle.loads(data).read(range(COUNT), 0), before, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])


def test_forked_and_spawned_processes_open_the_store_for_themselves(reader: SampleReader) -> None:
    mine = [sample["image"].sum() for sample in reader.read(range(COUNT), 0)]
    for method in ("fork", "spawn"):
        context = get_context(method)
        queue = context.Queue()
        process = context.Process(target=_send_sums, args=(reader, queue))
        process.start()
        assert queue.get(timeout=60) == mine
        process.join()
        # The child's end closed nothing of the parent's.
        assert [sample["image"].sum() for sample in reader.read(range(COUNT), 0)] == mine


def _send_sums(reader: SampleReader, queue: Any) -> None:
    inherited = reader.snapshot._opened_by == os.getpid()
    queue.put("inherited" if inherited else [sample["image"].sum() for sample in reader.read(range(COUNT), 0)])


def test_a_bucket_is_refused_in_a_forked_process_rather_than_waited_for(s3: Server) -> None:
    url = s3.url(s3.new_bucket(), "store")
    publish_dataset(url, pictures(5))
    reader = _reader(url, LoadOptions())
    context = get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_send_error, args=(reader, queue))
    process.start()
    assert "multiprocessing_context='spawn'" in queue.get(timeout=60)
    process.join()


def _send_error(reader: SampleReader, queue: Any) -> None:
    try:
        list(reader.read(range(5), 0))
    except DatasetError as error:
        queue.put(str(error))
    queue.put("no error")


def test_what_is_published_later_changes_nothing(tmp_path: Path) -> None:
    publish_dataset(tmp_path, pictures(10))
    reader = _reader(tmp_path, LoadOptions(columns=("key",)))
    publish_dataset(tmp_path, pictures(4))
    again = pickle.loads(pickle.dumps(reader))
    assert len(list(again.read(range(10), 0))) == 10
    assert again.snapshot.plan().blocks.num_rows == 10


def test_a_snapshot_that_is_not_what_it_was_is_refused(store: Path, reader: SampleReader) -> None:
    again = pickle.loads(pickle.dumps(reader))
    again.snapshot.digest = "0" * 64
    with pytest.raises(DatasetError, match="not what it was"):
        next(again.read([0], 0))


def test_an_epoch_reads_each_block_once_and_keeps_a_bounded_number(store: Path) -> None:
    reader = _reader(store, LoadOptions(), kept_rows=64)
    plan = reader.snapshot.plan()
    assert len(plan.blocks) == 5
    for window in Epoch(plan.blocks, Order(window_rows=32), "d", 0).windows(0, COUNT):
        list(reader.read(window, 0))
        needed = {int(plan.blocks.of_row[row]) for row in window}
        assert sum(map(len, reader._blocks.values())) <= max(64, sum(len(plan.blocks.rows(b)) for b in needed))
    assert set(reader._blocks) >= needed


def test_transforms_come_before_normalization_and_draw_by_sample_and_epoch(store: Path) -> None:
    options = LoadOptions(transform=_shifted, normalization="0-1")
    reader, other = _reader(store, options), _reader(store, options)
    images = [sample["image"] for sample in reader.read([3, 4], 0)]
    drawn = [sample["image"] for sample in other.read([4, 3], 0)]
    np.testing.assert_array_equal(images, drawn[::-1])
    assert not np.array_equal(images[0], next(reader.read([3], 1))["image"])
    plain = next(_reader(store, LoadOptions()).read([3], 0))["image"]
    shift = int(
        np.flatnonzero([np.array_equal(normalize(plain + np.uint8(n), "0-1"), images[0]) for n in range(200)])[0]
    )
    assert 0 <= shift < 200


def _shifted(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    return pixels + rng.integers(0, 200, dtype=np.uint8)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (LoadOptions(columns=("nothing",)), DatasetError, "no column 'nothing'"),
        (LoadOptions(columns=("label",)), ConfigError, "take label out"),
        (LoadOptions(normalization="2"), ConfigError, "unknown normalization"),  # type: ignore[arg-type]
    ],
)
def test_options_that_do_not_fit_are_refused(
    store: Path, options: LoadOptions, error: type[Exception], words: str
) -> None:
    with open_dataset(store) as dataset, pytest.raises(error, match=words):
        options.check(dataset.columns, dataset.image_shape[2])


def test_floats_are_not_normalised_again(store: Path) -> None:
    reader = _reader(store, LoadOptions(transform=lambda pixels: pixels / 2, normalization="0-1"))
    with pytest.raises(ConfigError, match="float64 cannot be normalised"):
        next(reader.read([0], 0))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_pixels_are_those_of_pillow(mode: str, name: str) -> None:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, name)
    with Image.open(buffer) as image:
        expected = np.asarray(image).reshape(33, 47, -1)
    np.testing.assert_array_equal(decode(buffer.getvalue()), expected)


def test_grayscale_and_variants_are_read(tmp_path: Path) -> None:
    look = Look(channels=1, variants=1)
    publish_dataset(tmp_path, pictures(5), look)
    for sample in _reader(tmp_path, LoadOptions(columns=("key", "variant"))).read(range(10), 0):
        np.testing.assert_array_equal(sample["image"], pixels_of(NUMBERS[sample["key"]], sample["variant"], look))


def test_a_sampler_goes_on_where_it_was(reader: SampleReader) -> None:
    sampler = RowSampler(reader.snapshot, Order(seed=1, window_rows=40), Share(1, 2))
    sampler.set_epoch(3)
    whole = list(sampler)
    sampler.set_epoch(3, done=30)
    assert len(sampler) == 45
    assert list(sampler) == whole[30:]
    assert list(sampler) == whole
    with pytest.raises(ConfigError, match="76 samples done of an epoch of 75"):
        sampler.set_epoch(3, done=76)


def test_an_empty_dataset_has_no_samples(tmp_path: Path) -> None:
    publish_dataset(tmp_path, [])
    reader = _reader(tmp_path, LoadOptions())
    assert list(RowSampler(reader.snapshot, Order(), Share())) == []
    assert list(reader.read([], 0)) == []


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("torch", loaders.to_torch),
        ("torch", loaders.to_torch_stream),
        ("datasets", loaders.to_hf),
        ("tensorflow", loaders.to_tf),
    ],
)
def test_a_missing_package_is_named_with_its_install_command(
    store: Path, monkeypatch: pytest.MonkeyPatch, package: str, call: Any
) -> None:
    for name in [name for name in sys.modules if name.startswith("image_assets.loaders.")]:
        if name.rpartition(".")[2] in ("torch_map", "torch_stream", "torch_tensors", "huggingface_dataset"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with open_dataset(store) as dataset, pytest.raises(MissingExtraError, match=rf"image-assets\[{package}\]"):
        call(dataset)
