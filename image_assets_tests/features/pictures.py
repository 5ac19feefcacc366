"""Pictures drawn on the spot, for tests that need something to look at."""

import io
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZE_PX = 448
_MIDDLE_PX = SIZE_PX // 2


def analogue_clock() -> Image.Image:
    image = Image.new("RGB", (SIZE_PX, SIZE_PX), (150, 120, 90))
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 40, 408, 408), fill=(245, 245, 240), outline=(20, 20, 20), width=14)
    for minute in range(60):
        long = minute % 5 == 0
        draw.line((*_polar(minute * 6, 150 if long else 162), *_polar(minute * 6, 172)), "black", 8 if long else 2)
    draw.line((_MIDDLE_PX, _MIDDLE_PX, *_polar(305, 90)), "black", 12)
    draw.line((_MIDDLE_PX, _MIDDLE_PX, *_polar(60, 140)), "black", 8)
    return image


def crossword() -> Image.Image:
    image = Image.new("RGB", (SIZE_PX, SIZE_PX), "white")
    draw = ImageDraw.Draw(image)
    filled = np.random.default_rng(3).random((14, 14)) < 0.2
    for row, column in np.ndindex(14, 14):
        corner = (column * 32, row * 32, column * 32 + 32, row * 32 + 32)
        draw.rectangle(corner, fill="black" if filled[row, column] else "white", outline="black", width=2)
    return image


def traffic_light() -> Image.Image:
    image = Image.new("RGB", (SIZE_PX, SIZE_PX), (120, 170, 220))
    draw = ImageDraw.Draw(image)
    draw.rectangle((215, 400, 233, 448), fill=(60, 60, 60))
    draw.rounded_rectangle((150, 40, 298, 408), 20, fill=(25, 25, 25))
    for top, colour in ((50, (255, 40, 30)), (174, (70, 60, 10)), (298, (10, 70, 30))):
        draw.ellipse((174, top, 274, top + 100), fill=colour)
    return image


def spider_web() -> Image.Image:
    image = Image.new("RGB", (SIZE_PX, SIZE_PX), (20, 30, 20))
    draw = ImageDraw.Draw(image)
    for spoke in range(16):
        draw.line((_MIDDLE_PX, _MIDDLE_PX, *_polar(spoke * 22.5, 320)), (220, 220, 220), 1)
    for radius_px in range(15, 320, 14):
        draw.line([_polar(spoke * 22.5, radius_px) for spoke in range(17)], (220, 220, 220), 1)
    return image


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "analogue clock": analogue_clock,
    "crossword": crossword,
    "traffic light": traffic_light,
    "spider web": spider_web,
}


def pixels(image: Image.Image, *, size_px: int = 224) -> NDArray[np.uint8]:
    """Return the image scaled to a square, shape (size_px, size_px, 3), uint8."""
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.LANCZOS))


def recompressed(image: Image.Image, *, quality: int) -> Image.Image:
    """Return what is left of the image after saving it as JPEG."""
    file = io.BytesIO()
    image.save(file, "jpeg", quality=quality)
    return Image.open(file).convert("RGB")


def _polar(degrees: float, radius_px: float) -> tuple[float, float]:
    """Return the point at an angle, clockwise from the top, around the middle."""
    angle = math.radians(degrees)
    return _MIDDLE_PX + radius_px * math.sin(angle), _MIDDLE_PX - radius_px * math.cos(angle)
