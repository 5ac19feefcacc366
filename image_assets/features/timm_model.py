"""Models of timm (PyTorch Image Models) by their ids."""

from typing import Any

from image_assets.core.errors import ConfigError, MissingExtraError
from image_assets.features.model_input import ModelInput, with_settings
from image_assets.features.torch_model import BareModel, load_weights, weights_digest_of
from image_assets.settings.features import FeatureSettings

PREFIX = "timm:"


def bare_timm_model(features: FeatureSettings) -> BareModel:
    """Return the model of an id without its classifier; without ``features.weights`` its weights are downloaded, once.

    Raises:
        ConfigError: there is no such model, or its weights are unusable or cannot be had.
        MissingExtraError: timm is not installed.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{features.extractor} needs timm: pip install 'image_assets[timm]'") from error

    model_id = features.extractor.removeprefix(PREFIX)
    if not timm.is_model(model_id):
        raise ConfigError(f"timm has no model {model_id!r}; `timm.list_models()` lists them")
    try:
        module: Any = timm.create_model(model_id, pretrained=features.weights is None)
    except (OSError, RuntimeError, ValueError) as error:
        what = str(error).strip().splitlines()[0][:200]
        raise ConfigError(
            f"the weights of {features.extractor} cannot be had: {what}; name a file as features.weights"
        ) from error
    classifier = module.default_cfg.get("classifier", "")
    digest = load_weights(module, features, classifier) if features.weights else weights_digest_of(module)
    module.reset_classifier(0)
    return BareModel(module, with_settings(_own_input(module), features.input), digest)


def _own_input(module: Any) -> ModelInput:
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(module)
    _, height_px, width_px = config["input_size"]
    bilinear = config["interpolation"] == "bilinear"
    return ModelInput(
        height_px,
        width_px,
        config["crop_pct"],
        tuple(config["mean"]),
        tuple(config["std"]),
        "bilinear" if bilinear else "bicubic",
    )
