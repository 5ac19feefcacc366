"""What passes through the chain, and what a transform is."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from image_assets.core.errors import ConfigError
from image_assets.core.placement import Move
from image_assets.core.sample import Facts

# Shape (height, width, channels), 3 channels for RGB and 1 for grayscale.
Pixels = NDArray[np.uint8]
# One value a channel, 0-255.
Colour = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """One image's pixels as its file stores them: 8 bits, opaque, sRGB.

    ``turn`` is the EXIF orientation (1-8) that is still to be applied. The pixels can be fewer than
    ``facts.raw_width_px`` x ``facts.raw_height_px``, when the caller of the decoder said that fewer are enough. Then
    ``filled_px`` says how much of their width and height the image fills: of a width of 1001, an eighth is 125.125, so
    it ends inside the last of 126 pixels. None means all.
    """

    pixels: Pixels
    turn: int
    facts: Facts
    filled_px: tuple[float, float] | None = None


class Transform(BaseModel):
    """Base of all transforms: the fields are the parameters of the YAML file.

    A transform is pure: uint8 in, uint8 out, same number of channels; the input is not written to (the output may be
    a view of it), and the generator that is passed in is its only source of randomness. A transform of the stage
    ``after_resize`` keeps height and width.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Raised whenever the same parameters begin to give other pixels, so that old outputs are made anew.
    version: ClassVar[int]
    # before_resize: sees the upright original; after_resize: sees the output size.
    stage: ClassVar[Literal["before_resize", "after_resize"]]
    # Whether it draws from its generator, and so whether the seed matters.
    random: ClassVar[bool]

    @abstractmethod
    def apply(self, pixels: Pixels, rng: np.random.Generator, background: Colour, /) -> Pixels:
        """Return the transformed pixels.

        Args:
            rng: generator keyed by seed, image, operation and variant.
            background: what to paint where the image does not reach.

        Raises:
            DecodeError: ``too_large``, what it would make of this image fills the memory; that costs this image alone.
        """

    def moves(self, _size_px: tuple[int, int], _rng: np.random.Generator, /) -> tuple[Move, ...]:
        """Return the steps by which ``apply`` moves the pixels of an image of some size, none if it moves none.

        Boxes and masks follow an image by these.

        Args:
            size_px: width and height of the input.
            rng: generator of the same key as that of ``apply``, so that both draw the same.

        Raises:
            ConfigError: it does not say.
        """
        raise ConfigError(
            f"transform {type(self).__qualname__} does not say where its pixels come from, so no box or mask can "
            "follow it; give it a method `moves` (data/ANNOTATIONS.md)"
        )

    def kept_fraction(self) -> float:
        """Return the least share of a side (0-1) that is left of the original; 0 when that is not known.

        The decoder leaves out detail that no output can show, and needs this to know what that is.
        """
        return 0.0
