"""Plug-ins that change pixels: one file and one line here each."""

from pydantic import ValidationError

from image_assets.core.errors import ConfigError
from image_assets.settings.images import TransformSpec
from image_assets.transforms.base import Transform
from image_assets.transforms.center_crop import CenterCrop
from image_assets.transforms.colour_jitter import ColourJitter
from image_assets.transforms.crop import Crop
from image_assets.transforms.flip import Flip
from image_assets.transforms.grayscale import Grayscale
from image_assets.transforms.imported import import_transform
from image_assets.transforms.rand_augment import RandAugment
from image_assets.transforms.random_brightness import RandomBrightness
from image_assets.transforms.random_contrast import RandomContrast
from image_assets.transforms.random_crop import RandomCrop
from image_assets.transforms.random_flip import RandomFlip
from image_assets.transforms.random_rotation import RandomRotation
from image_assets.transforms.resize_original import Resize
from image_assets.transforms.rotate import Rotate
from image_assets.transforms.sharpen import Sharpen

TRANSFORMS: dict[str, type[Transform]] = {
    "center_crop": CenterCrop,
    "colour_jitter": ColourJitter,
    "crop": Crop,
    "flip": Flip,
    "grayscale": Grayscale,
    "rand_augment": RandAugment,
    "random_brightness": RandomBrightness,
    "random_contrast": RandomContrast,
    "random_crop": RandomCrop,
    "random_flip": RandomFlip,
    "random_rotation": RandomRotation,
    "resize": Resize,
    "rotate": Rotate,
    "sharpen": Sharpen,
}


def build_transform(spec: TransformSpec) -> Transform:
    """Return the transform that one entry of the settings asks for.

    Args:
        spec: a name, or ``{name: {parameter: value}}``; the name ``package.module:Class`` is a transform of one's own.

    Raises:
        ConfigError: no transform has that name, or a parameter is unknown or invalid.
    """
    name, parameters = transform_name(spec), None
    if isinstance(spec, dict):
        parameters = spec[name]
    kind = import_transform(name) if ":" in name else TRANSFORMS.get(name)
    if kind is None:
        known = ", ".join(sorted(TRANSFORMS))
        raise ConfigError(f"unknown transform {name!r}; known: {known}, or package.module:Class for your own")
    try:
        return kind.model_validate(parameters or {})
    except ValidationError as error:
        raise ConfigError(f"transform {name}: {_one_line(error, kind)}") from error


def transform_name(spec: TransformSpec) -> str:
    """Return the name in one entry of the settings.

    Raises:
        ConfigError: the entry holds no name, or several.
    """
    if isinstance(spec, str):
        return spec
    if len(spec) != 1:
        raise ConfigError(f"a transform is a name or {{name: {{parameter: value}}}}; found {spec!r}")
    return next(iter(spec))


def _one_line(error: ValidationError, kind: type[Transform]) -> str:
    parts = []
    for item in error.errors():
        what = f"{item['msg'].removeprefix('Value error, ')} (found {item['input']!r})"
        if item["type"] == "extra_forbidden":
            what = f"unknown parameter; known: {', '.join(sorted(kind.model_fields)) or 'none'}"
        parts.append(f"{'.'.join(str(step) for step in item['loc'])}: {what}")
    return "; ".join(parts)
