"""Transforms named by import path: found or refused in one line, and fingerprinted by what they are written in."""

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from image_assets.core.errors import ConfigError
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.transforms import build_transform
from image_assets.transforms.base import Transform
from image_assets.transforms.chain import Renderer
from image_assets.transforms.imported import import_transform, source_digest
from image_assets_tests.transforms.pictures import file_of, opened, photo, some_settings

SOURCE = textwrap.dedent('''
    """Inverts."""

    from pydantic import Field

    from image_assets.transforms.base import Transform

    # All of it.
    LIMIT = 255


    class Invert(Transform):
        """Turns light into dark."""

        version = 1
        stage = "after_resize"
        random = False
        least: int = Field(0, ge=0, le=255)

        def apply(self, pixels, rng, background, /):
            return LIMIT - pixels
''')
MODULE = "transforms_written_by_a_user"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which Python imports."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    forget()


def forget() -> None:
    """Have the next import read the files again, as in a new process."""
    for name in [name for name in sys.modules if name.startswith(MODULE)]:
        del sys.modules[name]
    importlib.invalidate_caches()


def recipe_after(folder: Path, source: str, class_name: str = "Invert", **parameters: object) -> str:
    (folder / f"{MODULE}.py").write_text(source)
    forget()
    return recipe_id_of(some_settings(transforms=[{f"{MODULE}:{class_name}": parameters}]))


def test_a_users_transform_makes_the_pixels(folder: Path) -> None:
    (folder / f"{MODULE}.py").write_text(SOURCE)
    settings = {"image": {"width_px": 32, "height_px": 32}, "output": {"format": "png"}}
    plain, inverted = (
        opened(Renderer(some_settings(transforms=each, **settings)).render(file_of(photo(32, 32)), "a").outputs[0].data)
        for each in ([], [f"{MODULE}:Invert"])
    )
    np.testing.assert_array_equal(inverted, 255 - plain)


def test_the_same_source_is_the_same_recipe(folder: Path) -> None:
    assert recipe_after(folder, SOURCE) == recipe_after(folder, SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT - pixels", "pixels"),
        ("version = 1", "version = 2"),
        # A constant beside the class.
        ("LIMIT = 255", "LIMIT = 254"),
        # A trailing comment: an image made again in vain, which is only slow.
        ("version = 1", "version = 1  # the first"),
        ("        return", "        pixels = pixels.copy()\n        return"),
    ],
)
def test_a_changed_source_is_another_recipe(folder: Path, old: str, new: str) -> None:
    assert old in SOURCE
    assert recipe_after(folder, SOURCE) != recipe_after(folder, SOURCE.replace(old, new))


@pytest.mark.parametrize(
    "source",
    [
        SOURCE.replace("\n\n", "\n\n\n\n"),
        SOURCE.replace("# All of it.", "# Everything."),
        SOURCE.replace("    version = 1", "    # The first.\n\n    version = 1"),
        SOURCE + "\n\n   \n# The end.\n",
        SOURCE.replace("\n", "\r\n"),
        SOURCE.rstrip("\n"),
    ],
    ids=[
        "more blank lines",
        "other comment",
        "new comment",
        "comment at the end",
        "Windows line ends",
        "no last newline",
    ],
)
def test_blank_lines_and_comment_lines_change_no_recipe(folder: Path, source: str) -> None:
    assert source != SOURCE
    assert recipe_after(folder, source) == recipe_after(folder, SOURCE)


@pytest.mark.parametrize("line", ["\n", "# no comment\n", "   \n"])
def test_a_line_inside_a_string_changes_the_recipe_whatever_it_looks_like(folder: Path, line: str) -> None:
    one, other = (f'{SOURCE}\nTABLE = ["""a\n{each}# b""",\n    1]\n' for each in ("", line))
    assert recipe_after(folder, one) != recipe_after(folder, other)
    assert recipe_after(folder, one) != recipe_after(folder, one.replace("# b", "# c"))


def test_parameters_change_the_recipe(folder: Path) -> None:
    assert recipe_after(folder, SOURCE) == recipe_after(folder, SOURCE, least=0)
    assert recipe_after(folder, SOURCE) != recipe_after(folder, SOURCE, least=1)


def test_a_parent_in_another_module_counts(folder: Path) -> None:
    child = f"from {MODULE}_parent import Invert\n\n\nclass Child(Invert):\n    version = 1\n"
    ids = []
    for parent in (SOURCE, SOURCE.replace("255 ", "254 ").replace("LIMIT = 255", "LIMIT = 254")):
        (folder / f"{MODULE}_parent.py").write_text(parent)
        ids.append(recipe_after(folder, child, "Child"))
    assert ids[0] != ids[1]


def test_a_class_imported_into_another_module_has_the_source_it_was_written_in(folder: Path) -> None:
    (folder / f"{MODULE}_parent.py").write_text(SOURCE)
    before = recipe_after(folder, f"from {MODULE}_parent import Invert\n")
    assert recipe_after(folder, f"from {MODULE}_parent import Invert\n\nOTHER = 1\n") == before


def test_a_child_of_a_transform_of_this_package_needs_no_source_of_its_parent(folder: Path) -> None:
    child = "from image_assets.transforms.sharpen import Sharpen\n\n\nclass Mine(Sharpen):\n    version = 3\n"
    assert recipe_after(folder, child, "Mine") != recipe_after(folder, child + "\nOTHER = 1\n", "Mine")


def test_a_file_edited_while_the_process_runs_keeps_the_fingerprint_of_the_code_that_runs(folder: Path) -> None:
    before = recipe_after(folder, SOURCE)
    (folder / f"{MODULE}.py").write_text(SOURCE.replace("LIMIT - pixels", "pixels"))
    assert recipe_id_of(some_settings(transforms=[f"{MODULE}:Invert"])) == before


def test_a_users_transform_without_source_is_refused_before_the_first_image(folder: Path) -> None:
    made = "MADE = type('Made', (Invert,), {'__module__': __name__})\nexec('class Written(Invert): version = 1')\n"
    (folder / f"{MODULE}.py").write_text(SOURCE + made)
    for name in ("MADE", "Written"):
        with pytest.raises(ConfigError, match="has no source that can be read") as caught:
            Renderer(some_settings(transforms=[f"{MODULE}:{name}"]))
        assert "raise the version" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_class_of_a_module_that_is_no_file_is_refused() -> None:
    namespace: dict[str, object] = {"__name__": "nowhere"}
    exec(SOURCE, namespace)
    kind = namespace["Invert"]
    assert isinstance(kind, type)
    assert issubclass(kind, Transform)
    with pytest.raises(ConfigError, match="nowhere:Invert has no source"):
        source_digest(kind)


@pytest.mark.parametrize(
    ("source", "class_name", "words"),
    [
        (None, "Invert", ["cannot be imported", f"No module named '{MODULE}'"]),
        (SOURCE, "Soften", ["cannot be imported", "has no attribute 'Soften'"]),
        (SOURCE, "", ["cannot be imported"]),
        (SOURCE, "LIMIT", ["is no transform", "subclass"]),
        (SOURCE, "Field", ["is no transform"]),
        (SOURCE, "Transform", ["is no transform"]),
        (SOURCE.replace("version = 1", ""), "Invert", ["is no transform", "version"]),
        (SOURCE.replace("version = 1", "version = '1'"), "Invert", ["a whole number"]),
        (SOURCE.replace("after_resize", "after"), "Invert", ["before_resize or after_resize"]),
        (SOURCE.replace("def apply", "def use"), "Invert", ["define apply"]),
        ("raise RuntimeError('no\\ndriver')", "Invert", [f"'{MODULE}' raised RuntimeError: no driver"]),
        ("def (", "Invert", ["raised SyntaxError"]),
        ("import no_such_module_anywhere", "Invert", ["No module named 'no_such_module_anywhere'"]),
        ("import sys; sys.exit(3)", "Invert", ["raised SystemExit: 3"]),
    ],
)  # fmt: skip
def test_a_path_that_names_no_transform_is_refused_in_one_line(
    folder: Path, source: str | None, class_name: str, words: list[str]
) -> None:
    if source is not None:
        (folder / f"{MODULE}.py").write_text(source)
    with pytest.raises(ConfigError) as caught:
        import_transform(f"{MODULE}:{class_name}")
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [":Blur", ".relative:Blur", "pathlib:Path"])
def test_a_path_that_cannot_be_one_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be imported|is no transform"):
        build_transform(path)


def test_a_wrong_parameter_of_a_users_transform_is_refused_with_what_would_do(folder: Path) -> None:
    (folder / f"{MODULE}.py").write_text(SOURCE)
    with pytest.raises(ConfigError, match="most: unknown parameter; known: least"):
        build_transform({f"{MODULE}:Invert": {"most": 1}})
