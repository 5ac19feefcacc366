"""The eight EXIF orientations, as views of pixels."""

from image_assets.core.geometry import Affine, mirror
from image_assets.transforms.base import Pixels


def orient(pixels: Pixels, orientation: int) -> Pixels:
    """Return a view of the stored pixels that is upright.

    Args:
        orientation: the EXIF value 1-8, of the pixels as stored.
    """
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def upright_to_stored(size_px: tuple[int, int], orientation: int) -> Affine:
    """Return the map from an upright image of some size (width, height) to its pixels as they are stored."""
    stored = Affine()
    if orientation in (3, 4, 7, 8):
        stored = stored.then(mirror(size_px, "vertical"))
    if orientation in (2, 3, 6, 7):
        stored = stored.then(mirror(size_px, "horizontal"))
    return stored.then(Affine(0, 1, 0, 1, 0, 0)) if sideways(orientation) else stored


def sideways(orientation: int) -> bool:
    """Return whether width and height change places."""
    return orientation >= 5
