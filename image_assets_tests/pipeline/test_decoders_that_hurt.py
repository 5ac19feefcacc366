"""A decoder that aborts, hangs, computes for ever or eats memory costs the image it does that on, and nothing else."""

import ctypes
import io
import os
import signal
import time
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import psutil
import pytest
from PIL import Image

from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.run import run_dataset
from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets_tests.images import make_settings_for, write_images


class Hurting(Transform):
    """Stands for a decoder's native code: does what it is told on the one red image."""

    how: Literal["abort", "segfault", "sleep", "compute", "eat"]
    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = False

    def apply(self, pixels: Pixels, rng: np.random.Generator, background: Colour, /) -> Pixels:
        if pixels[0, 0, 0] > 250 and pixels[0, 0, 1] < 5:
            _HARM[self.how]()
        return pixels


def compute():
    while True:
        pass


def eat():
    held = []
    while True:
        held.append(np.ones(2**24, np.uint8))


class KilledOnce(Transform):
    """Stands for somebody who kills a worker: the first that comes here ends."""

    mark: str
    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = False

    def apply(self, pixels: Pixels, rng: np.random.Generator, background: Colour, /) -> Pixels:
        try:
            Path(self.mark).touch(exist_ok=False)
        except FileExistsError:
            return pixels
        os.kill(os.getpid(), signal.SIGKILL)
        return pixels


_HARM = {
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "sleep": lambda: time.sleep(600),
    "compute": compute,
    "eat": eat,
}


@pytest.mark.parametrize(
    ("how", "reason", "says"),
    [
        ("abort", "decoder_crashed", "SIGABRT"),
        ("segfault", "decoder_crashed", "SIGSEGV"),
        ("sleep", "decoder_timeout", "longer than 1 s"),
        ("compute", "decoder_timeout", "longer than 1 s"),
        ("eat", "too_large", "not enough memory"),
    ],
)
def test_harm_costs_the_guilty_image_alone(tmp_path, how, reason, says):
    write_images(tmp_path / "raw", 40)
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (255, 0, 0)).save(buffer, "PNG")
    (tmp_path / "raw/a/guilty.png").write_bytes(buffer.getvalue())
    settings = make_settings_for(
        tmp_path,
        workers=2,
        transforms=[{f"{__name__}:Hurting": {"how": how}}],
        limits={"max_decode_s": 1.0, "max_memory_bytes": 200 * 2**20},
    )
    before = set(psutil.Process().children(recursive=True))
    report = run_dataset(settings)
    assert report.index.head.rows == 40
    (entry,) = quarantine_summary(settings)["quarantine"]
    assert (entry["key"], entry["reason"], entry["attempts"]) == ("a/guilty.png", reason, 1)
    assert says in entry["detail"]
    assert entry["sha256"] is not None
    assert set(psutil.Process().children(recursive=True)) == before
    # It is not tried again while nothing about it changes.
    assert run_dataset(settings).counts.decoded == 0


def test_an_image_is_not_blamed_for_a_worker_that_was_killed_once(tmp_path):
    # Alone in its task: nothing else could be to blame.
    write_images(tmp_path / "raw", 1)
    transforms = [{f"{__name__}:KilledOnce": {"mark": str(tmp_path / "mark")}}]
    counts = run_dataset(make_settings_for(tmp_path, workers=1, transforms=transforms)).counts
    assert (tmp_path / "mark").exists()
    assert (counts.new, counts.failed) == (1, 0)
