"""Results come in the order of their tasks, whatever is slow, dies or hangs, and what waits is bounded."""

import os
import time
from typing import ClassVar, Literal

import numpy as np
import pytest

from image_assets.engines.base import Beat
from image_assets.engines.inline import InlineEngine
from image_assets.engines.local import LocalEngine
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.remux.ordered import InOrder
from image_assets.pipeline.remux.tasks import Made, RawImage, Task
from image_assets.pipeline.remux.work import Preparer, RemuxContext
from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets_tests.images import image_bytes, make_settings_for


class Harmful(Transform):
    """Stands for a decoder's native code: dies or hangs on images of one size."""

    how: Literal["abort", "hang"]
    version: ClassVar[int] = 1
    stage: ClassVar[Literal["before_resize", "after_resize"]] = "before_resize"
    random: ClassVar[bool] = False

    def apply(self, pixels: Pixels, rng: np.random.Generator, background: Colour, /) -> Pixels:
        if pixels.shape[1] == 13:
            os.abort() if self.how == "abort" else time.sleep(600)
        return pixels


class SlowFirst:
    """Echoes rows; the very first task takes a while, so that the others overtake it."""

    def __call__(self, task: Task, beat: Beat) -> tuple[Made, ...]:
        if task.number == 0:
            time.sleep(1.0)
        return tuple(Made(row, None, bytes(1000)) for row in task.rows)


def tasks_of(rows: int, *, harmful: tuple[int, ...] = (), size: int = 4):
    for number, first in enumerate(range(0, rows, size)):
        numbers = tuple(range(first, min(first + size, rows)))
        images = tuple(RawImage(image_bytes(row, size=(13, 9) if row in harmful else (8, 6)), None) for row in numbers)
        yield Task(number, numbers, images)


@pytest.mark.parametrize(("how", "reason"), [("abort", "decoder_crashed"), ("hang", "decoder_timeout")])
def test_a_decoder_that_dies_or_hangs_costs_its_image_alone(how, reason, tmp_path):
    (tmp_path / "raw").mkdir()
    settings = make_settings_for(tmp_path, transforms=[{f"{Harmful.__module__}:Harmful": {"how": how}}])
    preparer = Preparer(RemuxContext(settings, recipe_id_of(settings), None, "image", None))
    with LocalEngine(2, 1.5) as engine:
        made = [each for some in InOrder(engine, preparer).run(tasks_of(18, harmful=(5, 17))) for each in some]
    assert [each.row for each in made] == list(range(18))
    assert {each.row: each.reason for each in made if each.data is None} == {5: reason, 17: reason}
    assert all(each.sha256 for each in made)


def test_what_overtakes_a_slow_task_waits_for_it_within_a_limit():
    given = []

    def tasks():
        for task in tasks_of(400):
            given.append(task.number)
            yield task

    with LocalEngine(2, 30.0) as engine:
        results = InOrder(engine, SlowFirst(), held_bytes=20_000).run(tasks())
        first = next(results)
        # Five tasks of 4,000 bytes fill the limit, one more is on its way when that shows, and task 0 itself.
        assert len(given) <= 8
        rows = [each.row for made in (first, *results) for each in made]
    assert rows == list(range(400))


def test_one_process_does_as_several():
    made = [each.row for some in InOrder(InlineEngine(), SlowFirst()).run(tasks_of(10)) for each in some]
    assert made == list(range(10))
