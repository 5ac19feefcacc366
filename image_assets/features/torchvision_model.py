"""Models of torchvision by their names: ResNet, VGG, ConvNeXt and the others that classify images."""

from typing import Any

from image_assets.core.errors import ConfigError, MissingExtraError
from image_assets.features.model_input import ModelInput, with_settings
from image_assets.features.torch_model import BareModel, load_weights, weights_digest_of
from image_assets.settings.features import FeatureSettings

PREFIX = "torchvision:"


def bare_torchvision_model(features: FeatureSettings) -> BareModel:
    """Return the model of an id without its classifier; without ``features.weights`` its weights are downloaded, once.

    Raises:
        ConfigError: there is no such model, or its weights are unusable or cannot be had.
        MissingExtraError: torchvision is not installed.
    """
    try:
        from torchvision import models
    except ModuleNotFoundError as error:
        needed = "pip install 'image_assets[torchvision]'"
        raise MissingExtraError(f"{features.extractor} needs torchvision: {needed}") from error

    name = features.extractor.removeprefix(PREFIX)
    if name not in models.list_models(module=models):
        raise ConfigError(f"torchvision has no model {name!r} that classifies images; resnet50 and vgg16 are two")
    weights = models.get_model_weights(name).DEFAULT
    try:
        module = models.get_model(name, weights=None if features.weights else weights)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the weights of {features.extractor} cannot be had: {error}; name a file as features.weights"
        ) from error
    classifier = _classifier(module, features.extractor)
    digest = load_weights(module, features, classifier) if features.weights else weights_digest_of(module)
    _leave_out(module, classifier)
    return BareModel(module, with_settings(_own_input(weights), features.input), digest)


def _classifier(module: Any, extractor: str) -> str:
    """Return the name of the last linear layer, which is what classifies."""
    from torch import nn

    names = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if not names:
        raise ConfigError(f"{extractor} has no linear layer that could be left out; choose another model")
    return str(names[-1])


def _leave_out(module: Any, name: str) -> None:
    from torch import nn

    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, nn.Identity())


def _own_input(weights: Any) -> ModelInput:
    shown = weights.transforms()
    crop_px, resize_px = shown.crop_size[0], shown.resize_size[0]
    bicubic = shown.interpolation.value == "bicubic"
    return ModelInput(
        crop_px,
        crop_px,
        min(1.0, crop_px / resize_px),
        tuple(shown.mean),
        tuple(shown.std),
        "bicubic" if bicubic else "bilinear",
    )
