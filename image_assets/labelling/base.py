"""What passes between a dataset and a labelling platform, and what a platform is."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from image_assets.core.annotations import MOST_ANNOTATIONS, Annotation, Kind
from image_assets.core.errors import AnnotationError

IMAGES = "images"
# What a platform makes of the name (folders, a prefix of its own) does not matter.
_NAME = re.compile(r"(?<![0-9a-f])([0-9a-f]{32})-([0-9a-f]{16})(?![0-9a-f])")
# No image is as wide, and sums and products of such numbers are exact enough.
_MOST_NUMBER = 1e9
# How much of a value a message shows.
_MOST_TEXT = 80


@dataclass(frozen=True, slots=True)
class Task:
    """One image on its way to a platform or back, named by its content.

    Args:
        sha256: of the raw bytes; all 64 hex digits on the way out, at least the first 32 on the way back.
        recipe_id: what the file was made with, so where a pixel of it lies in the original.
        width_px: of the file that is sent.
        height_px: of the file that is sent.
        annotations: in pixels of the file that is sent, as core/annotations.py has them of the original.
        reviewed: a person looked at it; where the platform cannot say so, whether there is an annotation of a person.
        ending: of the file, ``jpg`` or ``png``.
        output_sha256: of the file's bytes; empty where the platform does not hand it back.
        key: what people call the image; not part of what identifies it.
        where: the file and the task as the platform calls it, for messages; empty on the way out.
        left_out: what the platform says that no annotation here can hold, a word each: ``polyline``, ``points`` ...
        place: on the way out, the place of its name among those of the export, in order, from 0.
    """

    sha256: str
    recipe_id: str
    width_px: int
    height_px: int
    annotations: tuple[Annotation, ...] = ()
    reviewed: bool = False
    ending: str = "jpg"
    output_sha256: str = ""
    key: str = ""
    where: str = ""
    left_out: tuple[str, ...] = ()
    place: int = 0

    @property
    def name(self) -> str:
        """What the platform knows it by: the beginning of its sha256, and the recipe."""
        return f"{self.sha256[:32]}-{self.recipe_id}"

    @property
    def file(self) -> str:
        """The path of its file below the export's folder."""
        return f"{IMAGES}/{self.name}.{self.ending}"

    def of_kinds(self, kinds: frozenset[Kind]) -> "Task":
        """Return it with annotations of some kinds alone."""
        return replace(self, annotations=tuple(each for each in self.annotations if each.kind in kinds))

    def without_predictions(self) -> "Task":
        """Return it with what people said alone."""
        return replace(self, annotations=tuple(each for each in self.annotations if not each.predicted))


@dataclass(frozen=True, slots=True)
class Problem:
    """One task of a platform's file that cannot be taken: which, and why, in one line."""

    text: str


@dataclass(frozen=True, slots=True)
class Project:
    """What an export is for: the project's name on the platform, its labels in order, how many tasks there are.

    ``url`` goes before ``images/NAME.jpg`` where the platform fetches images itself.
    """

    name: str
    labels: tuple[str, ...]
    tasks: int
    url: str = ""


class Platform(Protocol):
    """Writes what one labelling platform imports, and reads what it exports.

    ``kinds`` are the annotations that it holds, ``predictions`` whether it tells what a model said from what a person
    said, ``file_name`` is what its file of annotations is called.
    """

    kinds: frozenset[Kind]
    predictions: bool
    file_name: str

    def write(self, tasks: Iterable[Task], folder: Path, project: Project) -> None:
        """Write the tasks into an existing folder, one in memory at a time; annotations of other kinds are left out.

        Raises:
            OSError: a file cannot be written.
            AnnotationError: a label cannot be written in the platform's format.
        """
        ...

    def read(self, path: Path, scratch: Path, project: str) -> Iterator[Task | Problem]:
        """Yield the tasks of a file that the platform exported, or that :meth:`write` wrote, one in memory at a time.

        Args:
            scratch: an empty folder, for what does not fit into memory.
            project: the project's name, for a platform whose files may hold several.

        Raises:
            AnnotationError: the file as a whole is damaged or is no such file; what came before it was yielded.
            OSError: the file cannot be read.
        """
        ...


def find_names(text: str) -> tuple[str, str] | None:
    """Return the beginning of the sha256 and the recipe in a name that came back, None when it has none."""
    found = _NAME.search(text)
    return (found[1], found[2]) if found else None


def name_parts(text: str) -> tuple[str, str]:
    """Return the beginning of the sha256 and the recipe in a name that a platform handed back.

    Raises:
        AnnotationError: it is none that an export gave.
    """
    if (found := find_names(text)) is None:
        raise AnnotationError(
            f"{short(text)} is no name that `image-assets labels export` gave (32 hex digits, a dash, 16 hex digits)"
        )
    return found


def number_in(value: Any, what: str) -> float:
    """Return a number that a file holds: a place in an image, a share, an angle.

    Raises:
        AnnotationError: it is none, or larger than any of these.
    """
    try:
        # True is a number to Python.
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= _MOST_NUMBER:
        raise AnnotationError(f"{what} is {short(value)}, which is no number of pixels")
    return number


def side_in(value: Any, what: str) -> int:
    """Return a width or a height in pixels that a file holds.

    Raises:
        AnnotationError: it is no whole number from 1 to a million.
    """
    number = number_in(value, what)
    if not (number.is_integer() and 1 <= number <= 1_000_000):
        raise AnnotationError(f"{what} is {short(value)}; a side is a whole number from 1 to 1,000,000")
    return int(number)


def text_in(value: Any, what: str) -> str:
    """Return a text that a file holds.

    Raises:
        AnnotationError: it is none, or is empty, or holds half a surrogate pair.
    """
    if not isinstance(value, str) or not value:
        raise AnnotationError(f"{what} is {short(value)}, which is no text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise AnnotationError(f"{what} is {short(value)}, which is no Unicode text") from error
    return value


def refuse_too_many(count: int) -> None:
    """Accept as many annotations of one image as there may be.

    Raises:
        AnnotationError: there are more.
    """
    if count > MOST_ANNOTATIONS:
        raise AnnotationError(f"it has more than {MOST_ANNOTATIONS} annotations")


def short(value: Any) -> str:
    """Return a value as a message shows it."""
    # What is long is not written out first: a text of a hundred megabytes would be twice.
    text = repr(value[:_MOST_TEXT] if isinstance(value, str) else value) if _is_small(value) else type(value).__name__
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"


def _is_small(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | float) or (isinstance(value, int) and abs(value) < 10**18)
