"""The images of a CVAT XML file, one in memory at a time, by a parser that refuses document types and so entities."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Any
from xml.parsers import expat

from image_assets.core.annotations import Annotation, Geometry
from image_assets.core.errors import AnnotationError
from image_assets.core.extra import extra_text
from image_assets.core.geometry import Box, Point, Polygon
from image_assets.core.masks import Mask
from image_assets.labelling.base import Problem, Task, name_parts, number_in, refuse_too_many, short, side_in, text_in
from image_assets.labelling.run_lengths import mask_from_row_runs, pixels_of_runs

_BLOCK_BYTES = 2**16
# One tag, with the points of one polygon or the runs of one mask.
_MOST_TAG_BYTES = 16 * 2**20
_ROOT, _IMAGE, _SHAPE = 1, 2, 3


def parse_cvat(file: IO[bytes], name: str) -> Iterator[Task | Problem]:
    """Yield the images of a file.

    Raises:
        AnnotationError: it is no CVAT for images 1.1, is damaged, or has a document type.
    """
    reader = _Reader(name)
    fed = 0
    while True:
        block = file.read(_BLOCK_BYTES)
        fed += len(block)
        reader.feed(block)
        while reader.done:
            yield reader.done.popleft()
        if fed - reader.parser.CurrentByteIndex > _MOST_TAG_BYTES:
            raise AnnotationError(f"{name}: one tag takes more than {_MOST_TAG_BYTES} bytes")
        if not block:
            return


class _Reader:
    """What the parser has seen of the image it is at."""

    def __init__(self, name: str) -> None:
        self.done: deque[Task | Problem] = deque()
        # Whatever encoding the file names: CVAT's is UTF-8, and a name could ask for any of Python's codecs.
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self._name = name
        self._depth = 0
        self._image: dict[str, str] = {}
        self._inside = False
        self._clear()

    def feed(self, block: bytes) -> None:
        """Take the next bytes; none are the end."""
        try:
            self.parser.Parse(block, not block)
        except expat.ExpatError as error:
            raise AnnotationError(f"{self._name} is damaged or no XML: {error}") from error

    def _clear(self) -> None:
        self._annotations: list[Annotation] = []
        self._left_out: list[str] = []
        self._problem = ""
        self._shape: dict[str, str] = {}
        self._attributes: dict[str, str] = {}
        self._attribute: str | None = None
        self._text: list[str] = []

    def _refuse_doctype(self, *_: Any) -> None:
        raise AnnotationError(f"{self._name} has a document type (<!DOCTYPE ...>), which no export of CVAT has")

    def _start(self, tag: str, values: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == _ROOT and tag != "annotations":
            raise AnnotationError(f"{self._name} begins with <{short(tag)[1:-1]}>, CVAT's XML with <annotations>")
        if self._depth == _IMAGE and tag == "track":
            raise AnnotationError(f"{self._name} is CVAT for video (it has tracks); export it as CVAT for images 1.1")
        if self._depth == _IMAGE and tag == "image":
            self._image, self._inside = values, True
            self._clear()
        elif self._inside and self._depth == _SHAPE:
            self._shape, self._attributes = values, {}
        elif self._inside and self._depth == _SHAPE + 1 and tag == "attribute":
            self._attribute, self._text = values.get("name", ""), []

    def _characters(self, text: str) -> None:
        if self._attribute is not None:
            self._text.append(text)

    def _end(self, tag: str) -> None:
        depth, self._depth = self._depth, self._depth - 1
        if not self._inside:
            return
        if depth == _SHAPE + 1 and self._attribute is not None:
            self._attributes[self._attribute], self._attribute = "".join(self._text), None
        elif depth == _SHAPE and not self._problem:
            self._take_shape(tag)
        elif depth == _IMAGE:
            self.done.append(self._finished())
            self._inside = False

    def _take_shape(self, tag: str) -> None:
        try:
            if tag not in _GEOMETRIES:
                self._left_out.append(tag)
            else:
                geometry = _GEOMETRIES[tag](self._shape, _size(self._image))
                self._annotations.append(_annotation(self._shape, self._attributes, geometry))
            refuse_too_many(len(self._annotations) + len(self._left_out))
        except AnnotationError as error:
            self._problem = f"{tag} {len(self._annotations) + 1}: {error}"

    def _finished(self) -> Task | Problem:
        image = self._image
        where = f"{self._name}, image {short(image.get('name'))}"
        if self._problem:
            return Problem(f"{where}: {self._problem}")
        try:
            sha256, recipe_id = name_parts(image.get("name", ""))
            width_px, height_px = _size(image)
        except AnnotationError as error:
            return Problem(f"{where}: {error}")
        return Task(
            sha256=sha256,
            recipe_id=recipe_id,
            width_px=width_px,
            height_px=height_px,
            annotations=tuple(self._annotations),
            reviewed=any(not annotation.predicted for annotation in self._annotations),
            where=where,
            left_out=tuple(self._left_out),
        )


def _size(image: dict[str, str]) -> tuple[int, int]:
    return side_in(image.get("width"), "its width"), side_in(image.get("height"), "its height")


def _annotation(values: dict[str, str], attributes: dict[str, str], geometry: Geometry) -> Annotation:
    kept: dict[str, Any] = dict(attributes)
    if values.get("occluded") == "1":
        kept["occluded"] = True
    try:
        extra = extra_text(kept)
    except ValueError as error:
        raise AnnotationError(f"its attributes: {error}") from error
    label = text_in(values.get("label"), "its label")
    return Annotation(label, geometry, predicted=values.get("source") == "auto", attributes=extra)


def _tag(_values: dict[str, str], _size_px: tuple[int, int]) -> Geometry:
    return None


def _box(values: dict[str, str], _size_px: tuple[int, int]) -> Geometry:
    left, top, right, bottom = (number_in(values.get(name), name) for name in ("xtl", "ytl", "xbr", "ybr"))
    box = Box(min(left, right), min(top, bottom), max(left, right), max(top, bottom))
    degrees = number_in(values.get("rotation", "0"), "rotation")
    return turned_box(box, degrees, ((left + right) / 2, (top + bottom) / 2)) if degrees % 360 else box


def turned_box(box: Box, degrees: float, centre: Point) -> Polygon:
    """Return a box turned clockwise around a point."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    offsets = [(x - centre[0], y - centre[1]) for x, y in box.corners]
    return Polygon(tuple((centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in offsets))


def _polygon(values: dict[str, str], _size_px: tuple[int, int]) -> Geometry:
    pairs = [pair.split(",") for pair in values.get("points", "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise AnnotationError(f"points are {short(values.get('points'))}; each is x,y")
    return Polygon(tuple((number_in(x, "x"), number_in(y, "y")) for x, y in pairs))


def _mask(values: dict[str, str], size_px: tuple[int, int]) -> Mask:
    left, top = (int(number_in(values.get(name), name)) for name in ("left", "top"))
    width_px, height_px = (side_in(values.get(name), name) for name in ("width", "height"))
    if width_px > size_px[0] or height_px > size_px[1]:
        raise AnnotationError(f"a mask of {width_px} x {height_px} on an image of {size_px[0]} x {size_px[1]} pixels")
    try:
        runs = [int(run) for run in values.get("rle", "").split(",")]
        part = pixels_of_runs(runs, width_px, height_px)
    except (ValueError, OverflowError) as error:
        raise AnnotationError(f"rle is {short(values.get('rle'))}, which is no list of run lengths") from error
    return mask_from_row_runs(size_px, (left, top), part)


_GEOMETRIES: dict[str, Callable[[dict[str, str], tuple[int, int]], Geometry]] = {
    "tag": _tag,
    "box": _box,
    "polygon": _polygon,
    "mask": _mask,
}
