"""The page on transforms: it lists what there is, as it is, and its example does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_assets import open_dataset
from image_assets.settings.images import AugmentSettings
from image_assets.transforms import TRANSFORMS
from image_assets_tests.images import write_images
from image_assets_tests.transforms.catalogue_page import PAGE, expected_sections

EXPECTED = expected_sections()
# What the page's example erases, as its settings say: half of the shorter side of 64 x 48, in white.
ERASED_PX = 24 * 24


def sections() -> dict[str, list[str]]:
    """Return the lines of each transform's section."""
    text = PAGE.read_text(encoding="utf-8")
    catalogue = text[text.index("## The catalogue") : text.index("## One of your own")]
    return {part[: part.index("`")]: part.splitlines() for part in catalogue.split("\n### `")[1:]}


def test_the_page_lists_every_transform_and_no_other() -> None:
    assert list(sections()) == sorted(TRANSFORMS)


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_the_page_says_of_a_transform_what_the_code_says(name: str) -> None:
    lines = sections()[name]
    assert [line for line in EXPECTED[name] if line not in lines] == []
    # No parameter that is gone, either.
    assert [line for line in lines if line.startswith("| `")] == EXPECTED[name][1:]


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_the_page_says_what_comes_out_what_happens_at_borders_and_whose_method_it_is(name: str) -> None:
    starts = [line.partition(": ")[0] for line in sections()[name] if line.startswith("* ")]
    assert starts == ["* Output", "* Borders", "* Method"]


def test_the_page_says_what_augments_by_default() -> None:
    defaults = AugmentSettings().transforms
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"they are {', '.join(f'`{name}`' for name in defaults)} as they come." in text


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A folder with the files of the page's example, under the names in their first lines."""
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    dithers = ["ordered_dither.py", "diffused_dither.py"]
    assert [name for name, _ in blocks] == ["my_transforms.py", "erased.yaml", *dithers, "test_my_transforms.py"]
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    return tmp_path


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_the_example_runs_and_erases_in_its_variants_alone(example: Path) -> None:
    write_images(example / "raw", 4)
    (line,) = re.findall(r"```bash\npython -m (.*)\n```", PAGE.read_text(encoding="utf-8"))
    done = command(example, *line.split())
    assert done.returncode == 0, done.stderr
    with open_dataset(example / "store") as dataset:
        white = [(row["variant"], (row["image"] == 255).all(axis=2)) for row in dataset]
    assert [(variant, int(mask.sum())) for variant, mask in white] == [(0, 0), (1, ERASED_PX), (2, ERASED_PX)] * 4
    # At other places in each.
    assert len({mask.tobytes() for variant, mask in white if variant}) == 8


def test_the_example_gives_the_same_dataset_whatever_makes_it(example: Path) -> None:
    write_images(example / "raw", 4)
    digests = set()
    for workers in ("0", "2"):
        store = f"store-{workers}"
        arguments = ("--config", "erased.yaml", "--store", store)
        assert command(example, "image_assets", "run", *arguments, "--workers", workers).returncode == 0
        with open_dataset(example / store) as dataset:
            digests.add(np.stack([row["image"] for row in dataset]).tobytes())
    assert len(digests) == 1


def test_the_tests_of_the_example_pass_over_it(example: Path) -> None:
    done = command(example, "pytest", "-q", "-p", "no:cacheprovider", "test_my_transforms.py")
    assert "11 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("wrong", "words", "code"),
    [
        ("return erased / 255", "my_transforms:RandomErase returned float64", 2),
        ("raise RuntimeError('a defect')", "RuntimeError('a defect')", 1),
    ],
)
def test_a_defect_of_a_transform_ends_the_run(example: Path, wrong: str, words: str, code: int) -> None:
    write_images(example / "raw", 4)
    module = example / "my_transforms.py"
    module.write_text(module.read_text().replace("return erased", wrong))
    done = command(example, "image_assets", "run", "--config", "erased.yaml")
    assert done.returncode == code
    assert words in done.stderr


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("from image_assets.core.errors import DecodeError; raise DecodeError('too_large', 'as told')", "too_large"),
        ("import os; os.abort()", "decoder_crashed"),
    ],
)
def test_what_a_transform_can_do_to_one_image_costs_that_image(example: Path, wrong: str, reason: str) -> None:
    write_images(example / "raw", 4)
    module = example / "my_transforms.py"
    # Of the five, one is red.
    red = "if (pixels[0, 0] == (255, 0, 0)).all():\n            "
    copy = "erased = pixels.copy()"
    module.write_text(module.read_text().replace(copy, f"{red}{wrong}\n        {copy}"))
    Image.new("RGB", (64, 48), (255, 0, 0)).save(example / "raw/red.png")
    done = command(example, "image_assets", "run", "--config", "erased.yaml")
    assert done.returncode in {0, 3}, done.stderr
    listed = command(example, "image_assets", "quarantine", "--config", "erased.yaml", "--json")
    assert f'"reason": "{reason}"' in listed.stdout
    assert listed.stdout.count('"reason"') == 1
