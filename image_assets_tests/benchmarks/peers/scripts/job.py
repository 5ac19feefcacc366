"""What every script does, with Pillow or without: the target, the arguments, the tally; needs nothing installed."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

SIDE_PX = 224
QUALITY = 90
TALLY = "IMAGE_TALLY"


def run_script(main: Callable[[Path, Path], None]) -> None:
    """Call a script's ``main`` with its two arguments: the folder of images, and the folder for the output."""
    main(Path(sys.argv[1]), Path(sys.argv[2]))


def count_images(number: int) -> None:
    """Add to the tally, one byte an image, when the benchmark keeps one; timed cold runs do not."""
    if tally := os.environ.get(TALLY):
        with Path(tally).open("ab") as file:
            file.write(b"." * number)
