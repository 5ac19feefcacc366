"""The datasets for PyTorch under real DataLoaders: forked and spawned workers, epochs, resuming."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch")

from image_assets import open_dataset  # noqa: E402
from image_assets.core.errors import ConfigError  # noqa: E402
from image_assets.loaders import to_torch, to_torch_stream  # noqa: E402
from image_assets.loaders.order import Order, Share  # noqa: E402
from image_assets.loaders.progress import Batching  # noqa: E402
from image_assets.loaders.samples import LoadOptions  # noqa: E402
from image_assets_tests.datasets import pictures, pixels_of, publish_dataset  # noqa: E402

COUNT = 101
NUMBERS = {item.key: item.number for item in pictures(COUNT)}
OPTIONS = LoadOptions(columns=("key",))
ORDER = Order(seed=3, window_rows=32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torch") / "store"
    publish_dataset(folder, pictures(COUNT), images_per_segment=20)
    return folder


def _stream(store: Path, share: Share | None = None, options: LoadOptions = OPTIONS) -> Any:
    with open_dataset(store) as dataset:
        return to_torch_stream(dataset, options, order=ORDER, share=share)


def _loader(stream: Any, **options: Any) -> Any:
    return torch.utils.data.DataLoader(stream, batch_size=4, **options)


def _keys(batches: Any) -> list[list[str]]:
    return [list(batch["key"]) for batch in batches]


@pytest.mark.parametrize("how", [{}, {"num_workers": 2}, {"num_workers": 2, "multiprocessing_context": "spawn"}])
def test_map_style_samples_come_right_from_any_worker(store: Path, how: dict[str, Any]) -> None:
    with open_dataset(store) as dataset:
        images = to_torch(dataset, OPTIONS)
        # Read here before the workers fork: what is open must not be shared with them.
        assert images[-1]["image"].shape == (3, 6, 8)
    seen: Counter[str] = Counter()
    for batch in _loader(images, sampler=images.sampler(ORDER), **how):
        for key, image in zip(batch["key"], batch["image"], strict=True):
            np.testing.assert_array_equal(image.numpy().transpose(1, 2, 0), pixels_of(NUMBERS[key]))
            seen[key] += 1
    assert seen == Counter(dict.fromkeys(NUMBERS, 1))
    assert images.classes == ("a", "b")
    with pytest.raises(IndexError, match="sample 101"):
        images[COUNT]


@pytest.mark.parametrize("how", [{}, {"num_workers": 3}, {"num_workers": 1, "multiprocessing_context": "spawn"}])
def test_a_stream_gives_every_sample_once_over_ranks_and_workers(store: Path, how: dict[str, Any]) -> None:
    streams = [_stream(store, Share(rank, 2)) for rank in range(2)]
    keys = [key for stream in streams for batch in _keys(_loader(stream, **how)) for key in batch]
    assert Counter(keys) == Counter(dict.fromkeys(NUMBERS, 1))
    assert [len(stream) for stream in streams] == [50, 51]


def test_epochs_reach_workers_that_stay(store: Path) -> None:
    stream = _stream(store)
    loader = _loader(stream, num_workers=2, persistent_workers=True)
    epochs = []
    for epoch in (0, 1, 0):
        stream.set_epoch(epoch)
        epochs.append(_keys(loader))
    assert epochs[0] == epochs[2] != epochs[1]


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_an_epoch_goes_on_after_any_batch(store: Path, workers: int) -> None:
    stream = _stream(store)
    stream.set_epoch(5)
    whole = _keys(_loader(stream, num_workers=workers))
    for done in (0, 1, 2, 3, 10, len(whole) - 1):
        resumed = _stream(store)
        resumed.load_state_dict(stream.state_after(done, Batching(4, workers)))
        assert resumed.epoch == 5
        assert _keys(_loader(resumed, num_workers=workers)) == whole[done:]


def test_without_workers_the_stream_itself_knows_how_far_it_is(store: Path) -> None:
    stream = _stream(store)
    whole = [sample["key"] for sample in stream]
    for done in range(0, COUNT, 10):
        broken_off = iter(stream)
        for _ in range(done):
            next(broken_off)
        resumed = _stream(store)
        resumed.load_state_dict(stream.state_dict())
        assert [sample["key"] for sample in resumed] == whole[done:]
    # The epoch after is whole.
    resumed.set_epoch(1)
    assert len(list(resumed)) == COUNT


@pytest.mark.parametrize("workers", [0, 2])
def test_the_state_after_an_epoch_is_the_next_one(store: Path, workers: int) -> None:
    stream = _stream(store)
    batches = _keys(_loader(stream, num_workers=workers))
    resumed = _stream(store)
    resumed.load_state_dict(stream.state_after(len(batches), Batching(4, workers)))
    assert resumed.epoch == 1
    assert sum(map(len, _keys(_loader(resumed, num_workers=workers)))) == COUNT


def test_a_state_that_would_be_wrong_is_refused(store: Path) -> None:
    stream = _stream(store)
    next(iter(_loader(stream, num_workers=2)))
    with pytest.raises(ConfigError, match="read by workers"):
        stream.state_dict()
    state = stream.state_after(3, Batching(4, 2))
    with pytest.raises(ConfigError, match="share was"):
        _stream(store, Share(0, 2)).load_state_dict(state)
    resumed = _stream(store)
    resumed.load_state_dict(state)
    with pytest.raises(ConfigError, match=r"of 2 worker\(s\), there are 1"):
        next(iter(resumed))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [1, 7, 26])
def test_a_stateful_loader_saves_and_resumes(store: Path, workers: int, done: int) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="needs torchdata").StatefulDataLoader
    stream = _stream(store)
    stream.set_epoch(2)
    loader = stateful(stream, batch_size=4, num_workers=workers)
    whole = _keys(loader)
    batches = iter(loader)
    for _ in range(min(done, len(whole))):
        next(batches)
    state = loader.state_dict()
    resumed = _stream(store)
    resumed.set_epoch(2)
    again = stateful(resumed, batch_size=4, num_workers=workers)
    again.load_state_dict(state)
    assert _keys(again) == whole[done:]
    resumed.set_epoch(3)
    after = [key for batch in _keys(again) for key in batch]
    assert Counter(after) == Counter(dict.fromkeys(NUMBERS, 1))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stateful_loader_that_was_through_begins_the_next_epoch(store: Path, workers: int) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="needs torchdata").StatefulDataLoader
    stream = _stream(store)
    loader = stateful(stream, batch_size=4, num_workers=workers)
    assert len(_keys(loader)) == 26
    resumed = _stream(store)
    again = stateful(resumed, batch_size=4, num_workers=workers)
    again.load_state_dict(loader.state_dict())
    resumed.set_epoch(1)
    epoch = [key for batch in _keys(again) for key in batch]
    assert Counter(epoch) == Counter(dict.fromkeys(NUMBERS, 1))


def test_tensors_are_transformed_and_normalised(store: Path) -> None:
    options = LoadOptions(normalization="-1-1", tensor_transform=lambda image: image.flip(-1))
    with open_dataset(store) as dataset:
        image = to_torch(dataset, options)[0]["image"]
        plain = dataset.image(0)
    expected = (2 * plain.astype(np.float32) - 255)[:, ::-1].transpose(2, 0, 1) / 255
    np.testing.assert_array_equal(image.numpy(), expected)


def test_ranks_of_torch_distributed_are_taken_by_themselves(store: Path, tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        assert len(_stream(store)) == COUNT
    finally:
        torch.distributed.destroy_process_group()
