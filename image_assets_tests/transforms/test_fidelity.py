"""How near the outputs are to Pillow's own: a full decode and its Lanczos, over photographs."""

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets.transforms.chain import Renderer
from image_assets_tests.benchmarks.files import SAMPLE_PHOTOS
from image_assets_tests.transforms.pictures import exif_block, file_of, opened, some_settings

SIZES = [(224, 224), (256, 192), (96, 160), (320, 320), (384, 384)]
# Side of the outputs that scaled decoding is measured with, and how many mosaics it is measured on.
SMALL_PX, MOSAICS = 32, 4


class Untouched(Transform):
    """Does nothing; as it does not say what it keeps, the decoder keeps everything."""

    version = 1
    stage = "before_resize"
    random = False

    def apply(self, pixels: Pixels, _rng: np.random.Generator, _background: Colour, /) -> Pixels:
        return pixels


@pytest.mark.parametrize("size_px", SIZES, ids=str)
def test_outputs_of_the_sample_photographs_are_pillows_to_52_db(size_px: tuple[int, int]) -> None:
    require(against_pillow(sample_photos(), size_px), mean_db=52, first_percentile_db=47)


@pytest.mark.parametrize("size_px", SIZES, ids=str)
def test_outputs_of_grainy_cuts_are_pillows_to_52_db(size_px: tuple[int, int]) -> None:
    require(against_pillow(grainy_cuts(), size_px), mean_db=52, first_percentile_db=47)


@pytest.mark.parametrize("size_px", [(64, 64), (32, 32)], ids=str)
def test_thumbnails_of_photographs_that_are_decoded_smaller_are_pillows_to_50_db(size_px: tuple[int, int]) -> None:
    assert np.mean(against_pillow(sample_photos(), size_px)) >= 50


@pytest.mark.parametrize("size_px", [(224, 224), (128, 128)], ids=str)
def test_outputs_of_a_corpus_are_pillows_to_52_db(corpus: Path, size_px: tuple[int, int]) -> None:
    photos = [path.read_bytes() for path in sorted((corpus / "photos").rglob("*.jpg"))]
    require(against_pillow(photos, size_px), mean_db=52, first_percentile_db=47)


@pytest.mark.parametrize("remainder", ["multiples", "one over"])
# The ratio is that of what is decoded to what comes out: below 3 the decoder does not take this divisor, from 6 on it
# takes the next.
@pytest.mark.parametrize(
    ("ratio", "divisor"),
    [*((ratio, divisor) for ratio in (2.7, 3.5, 5.9) for divisor in (2, 4, 8)), (8, 8)],
)
def test_large_originals_decoded_smaller_are_pillows_to_50_db(ratio: float, divisor: int, remainder: str) -> None:
    # One pixel more than a multiple is the worst there is: of the last decoded pixel nearly all lies outside.
    size_px = original_size_px(ratio, divisor, one_over=remainder == "one over")
    originals = [mosaic(size_px, number) for number in range(MOSAICS)]
    assert np.mean(against_pillow(originals, (SMALL_PX, SMALL_PX))) >= 50


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_large_originals_that_lie_on_their_side_are_pillows_to_50_db(orientation: int) -> None:
    # Whichever edge is the far one as the file stores it.
    exif = exif_block({0x0112: orientation})
    originals = [
        file_of(opened(mosaic((801, 601), number)), "JPEG", quality=92, exif=exif) for number in range(MOSAICS)
    ]
    assert np.mean(against_pillow(originals, (48, 48))) >= 50


@pytest.mark.parametrize("divisor", [2, 4, 8])
def test_large_originals_are_decoded_smaller(divisor: int) -> None:
    raw = mosaic(original_size_px(3.03, divisor, one_over=False), 0)
    small = (SMALL_PX, SMALL_PX)
    assert (rendered(raw, small) != rendered(raw, small, f"{__name__}:Untouched")).any()


def original_size_px(ratio: float, divisor: int, *, one_over: bool) -> tuple[int, int]:
    """Return the width and height whose share ``1 / divisor`` is, in height, ``ratio`` times that of the outputs."""
    height_px = round(SMALL_PX * ratio)
    return round(height_px * 4 / 3) * divisor + one_over, height_px * divisor + one_over


def require(found_db: NDArray[np.float64], *, mean_db: float, first_percentile_db: float) -> None:
    assert len(found_db) >= 48
    assert found_db.mean() >= mean_db
    assert np.percentile(found_db, 1) >= first_percentile_db


def against_pillow(originals: Iterable[bytes], size_px: tuple[int, int]) -> NDArray[np.float64]:
    """Return the peak signal-to-noise ratio of each output."""
    return np.array([psnr_db(rendered(raw, size_px), by_pillow(raw, size_px)) for raw in originals])


def psnr_db(one: Pixels, other: Pixels) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    # Equal pixels count as the least error there could be: one value in one pixel, off by one.
    return float(10 * np.log10(255**2 / max(error, 1 / one.size)))


def rendered(raw: bytes, size_px: tuple[int, int], *transforms: str) -> Pixels:
    """Return the pixels of the output by default settings, before any JPEG."""
    return opened(renderer(size_px, transforms).render(raw, "a").outputs[0].data)


@cache
def renderer(size_px: tuple[int, int], transforms: tuple[str, ...]) -> Renderer:
    image = {"width_px": size_px[0], "height_px": size_px[1]}
    return Renderer(some_settings(image=image, output={"format": "png"}, transforms=transforms))


def by_pillow(raw: bytes, size_px: tuple[int, int]) -> Pixels:
    """Return the full decode, its middle of the output's shape resized by Pillow's Lanczos."""
    with Image.open(io.BytesIO(raw)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return np.asarray(ImageOps.fit(upright, size_px, Image.Resampling.LANCZOS))


@cache
def sample_photos() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(SAMPLE_PHOTOS.rglob("*.jpg")))


@cache
def grainy_cuts() -> tuple[bytes, ...]:
    """Return a JPEG of 500x375 of each sample photograph, about 100 kB, as a camera's thumbnails are."""
    return tuple(file_of(grainy(cut(raw), 6, number), "JPEG", quality=95) for number, raw in enumerate(sample_photos()))


def cut(raw: bytes) -> Image.Image:
    with Image.open(io.BytesIO(raw)) as image:
        return ImageOps.fit(image.convert("RGB"), (500, 375), Image.Resampling.LANCZOS)


def grainy(image: Image.Image, deviation: float, seed: int) -> Pixels:
    grain = np.random.default_rng(seed).normal(0, deviation, (image.height, image.width, 1))
    pixels: Pixels = np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8)
    return pixels


@cache
def mosaic(size_px: tuple[int, int], number: int) -> bytes:
    """Return a JPEG of sample photographs side by side, twice as large as they are, with grain on top."""
    draw = np.random.default_rng(number)
    half = Image.new("RGB", (-(-size_px[0] // 2), -(-size_px[1] // 2)))
    for top in range(0, half.height, 360):
        for left in range(0, half.width, 360):
            raw = sample_photos()[int(draw.integers(len(sample_photos())))]
            with Image.open(io.BytesIO(raw)) as photo:
                half.paste(photo.convert("RGB").crop((20, 20, 380, 380)), (left, top))
    whole = half.resize(size_px, Image.Resampling.BICUBIC)
    return file_of(grainy(whole, 4, number), "JPEG", quality=92)
