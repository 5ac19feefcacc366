"""A transform of the user's own that is edited while a run is under way: never new pixels under the old recipe."""

import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from image_assets.core.errors import ConfigError
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.recipe import recipe_id_of, renderer_for
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings
from image_assets_tests.images import write_images

MODULE = "transform_edited_by_a_user"
SOURCE = '''"""Paints."""

import numpy as np

from image_assets.transforms.base import Transform


class Paint(Transform):
    """One gray everywhere."""

    version = 1
    stage = "after_resize"
    random = False

    def apply(self, pixels, rng, background, /):
        return np.full_like(pixels, 50)
'''
EDITED = SOURCE.replace("50", "200")
Made = Callable[..., Settings]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a module that this process and its workers can import."""
    monkeypatch.syspath_prepend(tmp_path)
    # The two sources are as long as each other, and a cached one is told apart by length and second.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    path = tmp_path / f"{MODULE}.py"
    path.write_text(SOURCE)
    yield path
    forget()


def forget() -> None:
    """Have the next import read the file again, as a new process does."""
    sys.modules.pop(MODULE, None)
    importlib.invalidate_caches()


def painting(settings: Made, **more: object) -> Settings:
    return settings(transforms=[f"{MODULE}:Paint"], output={"format": "png"}, num_shards=1, **more)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_starts_after_an_edit_refuses_to_work(
    settings: Made, module: Path, tmp_path: Path, workers: int
) -> None:
    write_images(tmp_path / "raw", 4)
    made = painting(settings, workers=workers)
    before = recipe_id_of(made)  # This process has the old code from here on, as a run has once it began.
    module.write_text(EDITED)
    with pytest.raises(ConfigError, match=f"{MODULE}:Paint or an installed package was changed") as caught:
        run_dataset(made)
    assert before in str(caught.value)
    assert "start the run again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "store").glob("segments/*/*"))
    assert not list((tmp_path / "store").glob("shards/*/manifests/*"))


def test_the_next_run_stores_the_new_pixels_under_the_new_recipe(settings: Made, module: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "raw", 4)
    made, seen = painting(settings, workers=1), {}
    for source in (SOURCE, EDITED):
        module.write_text(source)
        forget()
        run_dataset(made)
        with open_dataset(made.store) as dataset:
            seen[recipe_id_of(made)] = {int(value) for value in np.unique(dataset[0]["image"])}
    assert list(seen.values()) == [{50}, {200}]


def test_an_edit_that_changes_no_recipe_stops_nothing(settings: Made, module: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "raw", 4)
    made = painting(settings, workers=1)
    recipe_id_of(made)
    module.write_text(f"{SOURCE}\n# A remark.\n")
    assert run_dataset(made).counts.decoded == 4


def test_another_recipe_than_the_runs_is_refused_whatever_made_it_another(settings: Made) -> None:
    made = settings()
    renderer_for(made, recipe_id_of(made))
    with pytest.raises(ConfigError, match=r"an installed package was changed .* under recipe 0123456789abcdef"):
        renderer_for(made, "0123456789abcdef")


def test_the_refusal_travels_from_a_worker_to_its_run(settings: Made) -> None:
    with pytest.raises(ConfigError) as caught:
        renderer_for(settings(), "0123456789abcdef")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
