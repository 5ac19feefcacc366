"""Pixels as the numbers a model wants."""

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from image_assets.core.dataset_statistics import ChannelStatistics
from image_assets.core.errors import ConfigError
from image_assets.formats.base import Normalization, Real

# Mean and standard deviation of ImageNet's training images, RGB in 0-1, as torchvision's models use them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(
    images: NDArray[np.uint8],
    normalization: Normalization,
    real: Real = "float32",
    channels: ChannelStatistics | None = None,
) -> NDArray[Any]:
    """Return pixels scaled: ``none`` as they are, everything else of type ``real`` and the same shape.

    What is float16 is computed as float32 and rounded once, to the nearest.

    Args:
        images: uint8 of shape (..., channels).
        normalization: ``0-1``, ``-1-1``, or 0-1 less the mean over the standard deviation: ``imagenet`` of ImageNet,
            ``dataset`` of ``channels``.

    Raises:
        ConfigError: no normalization has that name, or it does not fit the images.
    """
    check_normalization(normalization, images.shape[-1])
    if normalization == "none":
        return images
    scaled: NDArray[np.float32] = images.astype(np.float32)
    if normalization == "0-1":
        scaled /= 255
    elif normalization == "-1-1":
        # (2x - 255) is exact in float32, so only the division rounds and both ends are exactly -1 and 1.
        scaled *= 2
        scaled -= 255
        scaled /= 255
    else:
        mean, std = _mean_and_std(normalization, images.shape[-1], channels)
        scaled -= np.array(mean, np.float32) * 255
        scaled /= np.array(std, np.float32) * 255
    return scaled.astype(real, copy=False)


def check_normalization(normalization: Normalization, channels: int) -> None:
    """Accept a normalization that exists and fits; images without channels (0: there are none) fit any.

    Raises:
        ConfigError: no normalization has that name, or it needs RGB and the images are grayscale.
    """
    if normalization not in get_args(Normalization):
        known = ", ".join(get_args(Normalization))
        raise ConfigError(f"unknown normalization {normalization!r}; known: {known}")
    if normalization == "imagenet" and channels not in (0, 3):
        raise ConfigError(
            f"normalization imagenet needs RGB images, these have {channels} channel(s); "
            "use 0-1 or -1-1, or image.mode: RGB"
        )


def _mean_and_std(
    normalization: Normalization, count: int, channels: ChannelStatistics | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if normalization == "imagenet":
        return IMAGENET_MEAN, IMAGENET_STD
    if channels is None:
        raise ConfigError("normalization dataset needs the dataset's mean and standard deviation, which are not given")
    if count != len(channels.mean):
        raise ConfigError(f"the dataset's mean is of {len(channels.mean)} channel(s), these images have {count}")
    if 0 in channels.std:
        raise ConfigError(f"a channel is the same in every image (std {channels.std}); use normalization 0-1")
    return channels.mean, channels.std


def normalized_dtype(normalization: Normalization, real: Real = "float32") -> np.dtype[Any]:
    """Return the type of normalised pixels."""
    return np.dtype("u1" if normalization == "none" else real).newbyteorder("<")
