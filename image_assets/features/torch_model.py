"""PyTorch models as extractors: their weights, read from a file without running anything in it, and their vectors."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError, MissingExtraError
from image_assets.features.model_input import ModelInput, as_numbers, seen_pixels
from image_assets.features.one_by_one import embed_each
from image_assets.features.pins import check_pin, combined_digest, file_sha256, refuse_settings
from image_assets.settings.features import FeatureSettings

# Part of the digest: change it when the same weights and pixels would give other vectors.
_VERSION = "torch 1: middle, Pillow, (x / 255 - mean) / std, one image at a time, last linear layer left out"
_WRAPPERS = ("state_dict", "model", "state_dict_ema", "model_ema")


@dataclass(frozen=True, slots=True)
class BareModel:
    """A model without its last, classifying layer, what it is to be shown, and the digest of its weights."""

    module: Any
    shown: ModelInput
    weights_digest: str


# Loads the model that the settings name.
BareModels = Callable[[FeatureSettings], BareModel]


class TorchModel:
    """The vectors of a PyTorch model on the processor; not for several threads at once."""

    def __init__(self, features: FeatureSettings, model: BareModel) -> None:
        """Run it once, on grey, to see what comes out.

        Raises:
            ConfigError: it has another digest than the settings say, does not run, or gives no vector.
        """
        self.name = features.extractor
        check_pin(features, model.weights_digest, f"the weights of {self.name}")
        self.digest = torch_digest(features, model.weights_digest)
        self._module = model.module.eval()
        self._shown = model.shown
        self.dim = len(self._embed_one(np.full((model.shown.height_px, model.shown.width_px, 3), 127, np.uint8)))

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one vector an image, shape (n, dim), float32.

        Raises:
            DatasetError: the images are not of shape (n, height, width, 3), uint8.
            ConfigError: the model does not run.
        """
        # PyTorch has threads of its own.
        return embed_each(images, self.dim, 1, self._embed_one)

    def _embed_one(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        numbers = as_numbers(seen_pixels(image, self._shown), self._shown).transpose(2, 0, 1)
        try:
            with torch.inference_mode():
                found = self._module(torch.from_numpy(np.ascontiguousarray(numbers[np.newaxis])))
        except (RuntimeError, ValueError, AssertionError) as error:
            what = str(error).strip().splitlines()[0][:300]
            raise ConfigError(f"{self.name} does not run: {what}; see features.input") from error
        if not isinstance(found, torch.Tensor) or found.ndim != 2:
            raise ConfigError(f"{self.name} gives no vector of an image; name a model that classifies images")
        vector: NDArray[np.float32] = found[0].float().numpy()
        return vector


def known_torch_digest(features: FeatureSettings) -> str | None:
    """Return the extractor's digest as far as a pin or a file of weights tells it; None when it must be loaded.

    Raises:
        ConfigError: the file cannot be read, or has another digest than the settings say.
    """
    refuse_settings(features, "output")
    if features.input.layout is not None:
        raise ConfigError(f"features.input.layout does not go with features.extractor {features.extractor}")
    if features.weights is None:
        return None if features.sha256 is None else torch_digest(features, features.sha256)
    found = file_sha256(Path(features.weights), "features.weights")
    check_pin(features, found, features.weights)
    return torch_digest(features, found)


def build_torch_model(features: FeatureSettings, bare_model: BareModels) -> TorchModel:
    """Return the extractor of a model that a library knows; what does not fit shows before anything is loaded.

    Raises:
        ConfigError: there is no such model, or its weights are unusable or cannot be had.
        MissingExtraError: the library is not installed.
    """
    known_torch_digest(features)
    return TorchModel(features, bare_model(features))


def torch_model_digest(features: FeatureSettings, bare_model: BareModels) -> str:
    """Return the extractor's digest; without a file and without a pin the weights are loaded for it.

    Raises:
        ConfigError: there is no such model, or its weights are unusable or cannot be had.
        MissingExtraError: the library is not installed.
    """
    return known_torch_digest(features) or build_torch_model(features, bare_model).digest


def torch_digest(features: FeatureSettings, weights_digest: str) -> str:
    """Return the extractor's digest: of its name, its weights, and what it is shown."""
    shown = features.input.model_dump_json(exclude_none=True)
    return combined_digest(_VERSION, features.extractor, weights_digest, shown)


def weights_digest_of(module: Any) -> str:
    """Return the digest of a model's weights as they are in memory."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_weights(module: Any, features: FeatureSettings, classifier: str) -> str:
    """Put the weights of a file into a model and return the file's digest; those of another classifier do not matter.

    Args:
        classifier: the name of the model's last, classifying layer.

    Raises:
        ConfigError: the file cannot be read, or its tensors are not those of the model.
        MissingExtraError: it is a .safetensors file and the package for these is not installed.
    """
    path = Path(features.weights or "")
    digest = file_sha256(path, "features.weights")
    tensors = _read_tensors(path)
    own = module.state_dict()
    missing = [name for name in own if name not in tensors and not name.startswith(f"{classifier}.")]
    other = [name for name in tensors if name not in own and not name.startswith(f"{classifier}.")]
    shapes = [
        name
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape and not name.startswith(f"{classifier}.")
    ]
    if wrong := [*missing, *other, *shapes]:
        kind = "lacks" if missing else "has an unknown" if other else "has another shape of"
        raise ConfigError(f"{path} is not of {features.extractor}: it {kind} {wrong[0]!r}, {len(wrong)} tensors in all")
    fitting = {name: tensors[name] for name in own if not name.startswith(f"{classifier}.")}
    module.load_state_dict(fitting, strict=False)
    return digest


def _read_tensors(path: Path) -> Mapping[str, Any]:
    import torch

    if path.suffix == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"{path.name} needs safetensors: pip install 'image_assets[timm]'") from error
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"features.weights: {path} is no safetensors file: {error}") from error
    import pickle

    try:
        # Tensors and plain values alone: a file that names anything else to load is refused.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"features.weights: {path} is no state dict that can be read safely: it is damaged, or names something "
            "else to load than tensors; save model.state_dict() alone"
        ) from error
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not all(isinstance(item, torch.Tensor) for item in content.values()):
        raise ConfigError(f"features.weights: {path} holds no tensors by name; save model.state_dict()")
    return content
