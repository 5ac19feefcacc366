"""What every feature extractor offers, and the shape of images it is given."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import DatasetError


class Extractor(Protocol):
    """Turns pixels into vectors; not thread-safe unless it says so."""

    @property
    def name(self) -> str:
        """The name it is registered under."""

    @property
    def dim(self) -> int:
        """Length of one vector."""

    @property
    def digest(self) -> str:
        """Hex sha256 over weights and preprocessing: equal digests mean equal vectors for equal images."""

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one vector an image, shape (n, dim), float32.

        Args:
            images: shape (n, height, width, 3), RGB; n may be 0, height and width are at least 1.

        Raises:
            DatasetError: the images have another shape or type.
        """


def require_rgb_images(images: NDArray[np.uint8]) -> None:
    """Refuse anything but RGB images of shape (n, height, width, 3), uint8.

    Raises:
        DatasetError: the images have another shape or type.
    """
    height_width_channels = images.shape[1:]
    fits = len(height_width_channels) == 3 and min(height_width_channels) >= 1 and height_width_channels[2] == 3
    if images.dtype != np.uint8 or not fits:
        raise DatasetError(
            f"features need images of shape (n, height, width, 3), uint8; found {images.shape}, {images.dtype}"
        )
