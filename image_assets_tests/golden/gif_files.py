"""GIF: interlaced, transparent, animated, smaller than its canvas, too short."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from image_assets_tests.golden.case import BACKGROUND, HEIGHT, QUARTERS, WIDTH, Case, saved

_PALETTE = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]


def gif_cases() -> Iterator[Case]:
    """Yield every kind of GIF."""
    quarters = few_colours()
    for interlace in (0, 1):
        raw = saved(quarters, "GIF", interlace=interlace)
        yield Case("interlaced.gif" if interlace else "plain.gif", raw, "GIF", "P", QUARTERS)
    shown = QUARTERS.copy()
    shown[:6, :8] = BACKGROUND  # the red quarter
    yield Case("transparent.gif", saved(quarters, "GIF", transparency=0), "GIF", "P", shown)
    second = Image.new("P", (WIDTH, HEIGHT), 2)
    second.putpalette(_PALETTE)
    animated = saved(quarters, "GIF", save_all=True, append_images=[second], duration=100)
    yield Case("animated.gif", animated, "GIF", "P", QUARTERS, flags=("animated",))
    script = saved(quarters, "GIF") + b"*/=alert(1)//"
    yield Case("and_script.gif", script, "GIF", "P", QUARTERS, flags=("trailing_data",))
    # White, 8 x 6, in the lower right corner; the rest is the first colour, or what is transparent.
    part = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    part[:], part[6:, 8:] = (255, 0, 0), (255, 255, 255)
    yield Case("part_of_canvas.gif", _by_hand((8, 6, 8, 6), [3] * 48), "GIF", "P", part)
    part[:], part[6:, 8:] = BACKGROUND, (255, 255, 255)
    raw = _by_hand((8, 6, 8, 6), [3] * 48, b"!\xf9\4\1\0\0\1\0")
    yield Case("part_of_canvas_transparent.gif", raw, "GIF", "P", part)
    yield Case("missing_pixels.gif", _by_hand((0, 0, WIDTH, HEIGHT), [0] * 191), reason="truncated")


def few_colours() -> Image.Image:
    """Return the quarters with a palette."""
    image = Image.new("P", (WIDTH, HEIGHT))
    image.putpalette(_PALETTE)
    numbers = np.zeros((HEIGHT, WIDTH), np.uint8)
    numbers[:6, 8:], numbers[6:, :8], numbers[6:, 8:] = 1, 2, 3
    image.putdata(numbers.reshape(-1).tolist())
    return image


def _by_hand(box: tuple[int, int, int, int], numbers: list[int], control: bytes = b"") -> bytes:
    """Return a GIF of these colours, left, top, width and height of its one frame being ``box``.

    The codes have 3 bits throughout: before the table grows, it is cleared.
    """
    codes = [code for at in range(0, len(numbers), 2) for code in (4, *numbers[at : at + 2])] + [5]
    stream = sum(code << 3 * at for at, code in enumerate(codes))
    data = stream.to_bytes(-(-len(codes) * 3 // 8), "little")
    head = b"GIF89a" + struct.pack("<HHBBB", WIDTH, HEIGHT, 0x81, 0, 0) + bytes(_PALETTE)
    return head + control + b"," + struct.pack("<HHHHB", *box, 0) + b"\2" + bytes([len(data)]) + data + b"\0;"
