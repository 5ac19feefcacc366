"""The page's transforms in NumPy and in Numba: the same dataset whatever makes it, and another one after an edit."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings
from image_assets_tests.images import write_images
from image_assets_tests.transforms.catalogue_page import PAGE

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs `pip install numba`")
NUMPY, NUMBA = "ordered_dither:OrderedDither", "diffused_dither:DiffusedDither"
PATHS = [NUMPY, pytest.param(NUMBA, marks=needs_numba)]
Made = Callable[..., Settings]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's modules, from which this process and its workers import."""
    blocks = re.findall(r"```python\n# (\w+_dither)\.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for name, text in blocks:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    # An edit here is as long as what it replaces, and a cached module is told apart by length and second.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name, _ in blocks:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def digest_of(made: Settings) -> str:
    report = run_dataset(made)
    assert report.index is not None
    assert (report.counts.decoded, report.counts.failed) == (70, 0)
    return str(report.index.head.digest)


@pytest.mark.parametrize("path", PATHS)
def test_it_makes_one_dataset_inline_and_with_any_number_of_workers(settings: Made, folder: Path, path: str) -> None:
    write_images(folder / "raw", 70)
    kinds = [("inline", 0), ("local", 1), ("local", 2)]
    options = {"transforms": [{path: {"levels": 4}}], "output": {"format": "png"}, "num_shards": 1}
    digests = {
        digest_of(settings(**options, store=f"{kind}-{workers}", engine=kind, workers=workers))
        for kind, workers in kinds
    }
    assert len(digests) == 1


@pytest.mark.parametrize("path", PATHS)
def test_it_leaves_so_many_levels_and_the_light_that_there_was(folder: Path, path: str) -> None:
    transform = getattr(imported(path), path.partition(":")[2])(levels=4)
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))[:, :, None].repeat(3, 2)
    ramp.flags.writeable = False
    made = transform.apply(ramp, np.random.default_rng(0), (0, 0, 0))
    assert np.unique(made).tolist() == [0, 85, 170, 255]
    # In each stretch of 16 columns as light as before, within a 32nd of all light there is.
    before, after = (np.mean(each.reshape(64, 16, 16, 3), axis=(0, 2, 3)) for each in (ramp, made))
    np.testing.assert_allclose(after, before, atol=8)


@needs_numba
def test_what_numba_compiled_gives_the_pixels_of_the_same_loop_in_python(folder: Path) -> None:
    module = imported(NUMBA)
    for steps in (1, 3, 200):
        compiled = np.random.default_rng(steps).integers(0, 256, (13, 17, 3)).astype(np.int32)
        plain = compiled.copy()
        module.diffuse(compiled, steps)
        module.diffuse.py_func(plain, steps)
        np.testing.assert_array_equal(compiled, plain)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [(NUMPY, "255 * pattern", "127 * pattern"), pytest.param(NUMBA, "lost * 7", "lost * 6", marks=needs_numba)],
)
def test_an_edit_beside_the_class_gives_another_recipe_and_other_pixels(
    settings: Made, folder: Path, path: str, old: str, new: str
) -> None:
    module, class_name = path.split(":")
    file = folder / f"{module}.py"
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    seen = []
    for text in (file.read_text(), file.read_text().replace(old, new)):
        file.write_text(text)
        sys.modules.pop(module, None)
        importlib.invalidate_caches()
        transform = getattr(imported(path), class_name)()
        made = transform.apply(pixels, np.random.default_rng(0), (0, 0, 0))
        seen.append((recipe_id_of(settings(transforms=[path])), made.tobytes()))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


@needs_numba
@pytest.mark.skipif("NUMBA_TIMES" not in os.environ, reason="set NUMBA_TIMES=1 to print what the page says of times")
def test_the_times_that_the_page_gives(folder: Path) -> None:
    for _ in ("compiled", "from the cache"):
        done = subprocess.run([sys.executable, "-c", TIMES], cwd=folder, capture_output=True, text=True, check=True)
        print(done.stdout)
        assert "ms an image" in done.stdout


TIMES = """
import resource, time
import numpy as np
import image_assets.transforms.base

def timed(what, function, times=1):
    before = time.process_time()
    for _ in range(times):
        function()
    spent = (time.process_time() - before) / times
    print(what, f"{spent:.2f} s" if times == 1 else f"{spent * 1000:.2f} ms an image")

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
before = memory()
timed("import numba", lambda: __import__("numba"))
timed("import the module", lambda: __import__("diffused_dither"))
from diffused_dither import DiffusedDither, diffuse
from ordered_dither import OrderedDither
print("memory", memory() - before, "MB more")
timed("Numba", lambda: DiffusedDither(levels=4).apply(pixels, None, None), 20)
timed("NumPy", lambda: OrderedDither(levels=4).apply(pixels, None, None), 20)
timed("the loop in Python, seconds an image", lambda: diffuse.py_func(pixels.astype(np.int32), 3))
"""


def imported(path: str) -> ModuleType:
    return importlib.import_module(path.partition(":")[0])
