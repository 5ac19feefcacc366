"""The dataset as TensorFlow sees it."""

from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the extra tensorflow")

from image_assets import open_dataset  # noqa: E402
from image_assets.core.errors import ConfigError  # noqa: E402
from image_assets.loaders import to_tf  # noqa: E402
from image_assets.loaders.order import Order  # noqa: E402
from image_assets.loaders.samples import LoadOptions  # noqa: E402
from image_assets_tests.datasets import pictures, pixels_of, publish_dataset  # noqa: E402

COUNT = 30
NUMBERS = {item.key: item.number for item in pictures(COUNT)}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    publish_dataset(tmp_path / "store", pictures(COUNT))
    return tmp_path / "store"


def test_samples_have_a_signature_and_come_once_in_the_epochs_order(store: Path) -> None:
    options = LoadOptions(columns=("key", "width_px"))
    with open_dataset(store) as dataset:
        given = to_tf(dataset, options, order=Order(1, window_rows=8))
        other = to_tf(dataset, options, order=Order(1, window_rows=8), epoch=1)
    assert given.element_spec["image"] == tf.TensorSpec((6, 8, 3), tf.uint8)
    assert given.element_spec["width_px"] == tf.TensorSpec((), tf.int32)
    keys = []
    for sample in given.as_numpy_iterator():
        keys.append(sample["key"].decode())
        np.testing.assert_array_equal(sample["image"], pixels_of(NUMBERS[keys[-1]]))
        assert sample["label"] in (-1, 0, 1)
    assert sorted(keys) == sorted(NUMBERS)
    assert keys != [sample["key"].decode() for sample in other.as_numpy_iterator()]
    assert [batch["image"].shape[0] for batch in given.batch(16)] == [16, 14]


def test_transformed_and_normalised_pixels_have_their_own_type(store: Path) -> None:
    options = LoadOptions(transform=lambda pixels: pixels[:4, :4], normalization="0-1")
    with open_dataset(store) as dataset:
        sample = next(iter(to_tf(dataset, options)))
    assert (sample["image"].shape, sample["image"].dtype) == ((4, 4, 3), tf.float32)


def test_what_is_no_tensor_is_refused(store: Path) -> None:
    with open_dataset(store) as dataset:
        with pytest.raises(ConfigError, match="flags is a list"):
            to_tf(dataset, LoadOptions(columns=("flags",)))
        with pytest.raises(ConfigError, match="for PyTorch"):
            to_tf(dataset, LoadOptions(tensor_transform=abs))
