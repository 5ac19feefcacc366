"""Writes one format and dies by SIGKILL in the middle:  python -m ... FORMAT TARGET."""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from image_assets.formats import FORMATS
from image_assets.formats.base import Batch, EncodedBatch, ExportOptions
from image_assets_tests.datasets import pictures, stream_of


def main(name: str, target: Path) -> None:
    stream = stream_of(pictures(12))

    def batches(with_images: bool) -> Iterator[Batch]:
        for number, batch in enumerate(stream.batches(with_images)):
            if with_images and number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    def encoded(*only: Any) -> Iterator[EncodedBatch]:
        for number, batch in enumerate(stream.encoded(*only)):
            if number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    FORMATS[name].write(replace(stream, batches=batches, encoded=encoded), target, ExportOptions(image_array=True))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
