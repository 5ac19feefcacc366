"""What a model of any origin is shown of an image: which part, in which size, and as which numbers."""

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from image_assets.settings.features import ModelInputSettings

Triple = tuple[float, float, float]
Interpolation = Literal["bicubic", "bilinear"]

# What nearly every model trained on ImageNet was shown.
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
_FULL_SCALE = 255


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The middle of an image, ``crop`` (0-1] of the largest part with the input's aspect ratio, and its numbers."""

    height_px: int
    width_px: int
    crop: float = 1.0
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    interpolation: Interpolation = "bicubic"


def with_settings(found: ModelInput, wanted: ModelInputSettings) -> ModelInput:
    """Return a model's own input, changed where the settings say something else."""
    return ModelInput(
        height_px=wanted.size_px or found.height_px,
        width_px=wanted.size_px or found.width_px,
        crop=wanted.crop or found.crop,
        mean=wanted.mean or found.mean,
        std=wanted.std or found.std,
        interpolation=found.interpolation,
    )


def settings_text(wanted: ModelInputSettings) -> str:
    """Return what the settings say of an input, in one order, as a part of a digest."""
    return json.dumps(wanted.model_dump(mode="json", exclude_none=True), sort_keys=True)


def seen_pixels(image: NDArray[np.uint8], shown: ModelInput) -> NDArray[np.uint8]:
    """Return the part of one image that a model is shown, in its size: shape (height_px, width_px, 3), uint8."""
    from PIL import Image

    height, width = image.shape[:2]
    scale = min(height / shown.height_px, width / shown.width_px) * shown.crop
    rows, columns = max(1, round(shown.height_px * scale)), max(1, round(shown.width_px * scale))
    top, left = (height - rows) // 2, (width - columns) // 2
    # Cropped first: a resize of a box would let the filter look beyond the crop.
    part = Image.fromarray(np.ascontiguousarray(image[top : top + rows, left : left + columns]))
    resample = Image.Resampling[shown.interpolation.upper()]
    return np.asarray(part.resize((shown.width_px, shown.height_px), resample))


def as_numbers(pixels: NDArray[np.uint8], shown: ModelInput) -> NDArray[np.float32]:
    """Return pixels as the numbers that a model computes with, same shape, float32."""
    scaled = pixels.astype(np.float32) / _FULL_SCALE
    return ((scaled - np.array(shown.mean, np.float32)) / np.array(shown.std, np.float32)).astype(np.float32)
