"""The eight EXIF orientations, as views of pixels."""

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


def sideways(orientation: int) -> bool:
    """Return whether width and height change places."""
    return orientation >= 5
