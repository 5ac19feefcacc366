"""Tasks whose labels and places are hard to write, and what a platform must make of them."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from image_assets.core.annotations import Annotation, Geometry
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask, mask_from_bits
from image_assets.labelling import find_platform
from image_assets.labelling.base import Problem, Project, Task

RECIPE = "0123456789abcdef"
SIZE = (40, 30)
LABELS = (
    "cat",
    'a "dog" & <cow>',
    "ünïcode 日本語 🎈",
    " spaces ",
    "comma, ; semicolon",
    "new\nline\rand\ttab",
    "[1]",
    "0",
)


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def blob(seed: int, size: tuple[int, int] = SIZE) -> Mask:
    """A mask with holes, islands, and pixels at the edges."""
    return mask_from_bits(np.random.default_rng(seed).random((size[1], size[0])) < 0.3)


def task(name: str, *annotations: Annotation, **options: object) -> Task:
    made = Task(
        sha256_of(name), RECIPE, *SIZE, annotations, bool(annotations), output_sha256=sha256_of("output"), key=name
    )
    return replace(made, **options)  # type: ignore[arg-type]


def examples() -> list[Task]:
    triangle = Polygon(((1.25, 2.5), (30.0, 3.0), (7.125, 29.75)))
    whole = Mask(*SIZE, mask_from_bits(np.ones((30, 40), bool)).rle)
    every = [Annotation(label, Box(number + 0.5, 1.5, number + 10.0, 20.25)) for number, label in enumerate(LABELS)]
    return [
        task("none"),
        task("class.jpg", Annotation("cat")),
        task("several classes", Annotation("cat"), Annotation("0")),
        task('odd "name" & <x>\n日本.jpg', Annotation("cat", Box(0.0, 0.0, 40.0, 30.0))),
        task("all labels", *every),
        task("polygon", Annotation("cat", triangle), Annotation("cat", triangle)),
        task("mask", Annotation("cat", blob(1)), Annotation("[1]", blob(2)), Annotation("0", whole)),
        task("thin", Annotation("cat", Box(39.999, 29.999, 40.0, 30.0))),
        task("mixed", Annotation("cat"), Annotation("0", blob(3)), Annotation("cat", triangle)),
        task("predicted", Annotation("cat", Box(1.0, 2.0, 3.0, 4.0), predicted=True, confidence=0.75)),
    ]


def project_of(tasks: list[Task]) -> Project:
    return Project("a <project> & 日本", LABELS, len(tasks))


def round_trip(platform_name: str, tasks: list[Task], folder: Path) -> list[Task | Problem]:
    """Write tasks and read them again."""
    platform = find_platform(platform_name)
    platform.write(iter(tasks), folder, project_of(tasks))
    return read(platform_name, folder / platform.file_name)


def read(platform_name: str, path: Path) -> list[Task | Problem]:
    scratch = path.parent / f"scratch {len(list(path.parent.iterdir()))}"
    scratch.mkdir()
    return list(find_platform(platform_name).read(path, scratch, "a <project> & 日本"))


def statements(found: Task, *, predicted: bool = False) -> list[tuple[str, Geometry]]:
    """What is said of an image, classes first, as what matters of it: numbers that differ by rounding are equal."""
    said = [(each.label, rounded(each.geometry)) for each in found.annotations if each.predicted == predicted]
    return sorted(said, key=lambda pair: pair[1] is not None)


def rounded(geometry: Geometry, digits: int = 6) -> Geometry:
    if isinstance(geometry, Box):
        edges = (geometry.left, geometry.top, geometry.right, geometry.bottom)
        return Box(*(round(edge, digits) for edge in edges))
    if isinstance(geometry, Polygon):
        return Polygon(tuple((round(x, digits), round(y, digits)) for x, y in geometry.points))
    return geometry


def is_near(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=1e-6)
