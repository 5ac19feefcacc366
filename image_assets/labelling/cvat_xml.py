"""CVAT for images 1.1: one XML file, the images beside it."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape, quoteattr

from image_assets.core.annotations import KINDS, Annotation, Kind
from image_assets.core.errors import AnnotationError
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask
from image_assets.labelling.base import Problem, Project, Task
from image_assets.labelling.cvat_parser import parse_cvat
from image_assets.labelling.opening import opened_export
from image_assets.labelling.run_lengths import extent_px, row_runs

# Below these XML 1.0 has tab, newline and carriage return alone.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_ENDS = {"\r": "&#13;"}


class CvatXml:
    """Reads and writes CVAT's own format; a prediction has the source ``auto``, what a person made ``manual``."""

    kinds: frozenset[Kind] = frozenset(KINDS)
    predictions = True
    file_name = "annotations.xml"

    def write(self, tasks: Iterable[Task], folder: Path, project: Project) -> None:
        """Write ``annotations.xml``; CVAT finds an image by its ``id``, which is its place in the order of the names.

        Raises:
            OSError: the file cannot be written.
            AnnotationError: a label holds a character that XML has not.
        """
        with (folder / self.file_name).open("w", encoding="utf-8", newline="\n") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
            _write_meta(file, project)
            for task in tasks:
                size = f'width="{task.width_px}" height="{task.height_px}"'
                name = quoteattr(task.file.partition("/")[2])
                file.write(f'  <image id="{task.place}" name={name} {size}>\n')
                for annotation in task.annotations:
                    _write_annotation(file, annotation)
                file.write("  </image>\n")
            file.write("</annotations>\n")

    def read(self, path: Path, scratch: Path, project: str) -> Iterator[Task | Problem]:  # noqa: ARG002
        """Yield the images of an XML file, or of the ZIP file that CVAT makes.

        Raises:
            AnnotationError: it is damaged, has a document type, or is no such file.
            OSError: it cannot be read.
        """
        with opened_export(path, ".xml") as file:
            yield from parse_cvat(file, path.name)


def xml_text(text: str) -> str:
    """Return a text as it stands between tags.

    Raises:
        AnnotationError: it holds a character that XML has not.
    """
    return escape(_checked(text), _LINE_ENDS)


def xml_attribute(text: str) -> str:
    """Return a text as it stands after ``=``, with its quotes.

    Raises:
        AnnotationError: it holds a character that XML has not.
    """
    return quoteattr(_checked(text))


def _checked(text: str) -> str:
    if found := _NO_XML.search(text):
        raise AnnotationError(f"{text[:80]!r} holds {found[0]!r}, which XML cannot hold; rename that label")
    return text


def _write_meta(file: TextIO, project: Project) -> None:
    file.write(
        f"  <meta>\n    <task>\n      <name>{xml_text(project.name)}</name>\n      <size>{project.tasks}</size>\n"
    )
    file.write("      <mode>annotation</mode>\n      <overlap>0</overlap>\n      <labels>\n")
    for label in project.labels:
        name = f"<name>{xml_text(label)}</name>"
        file.write(f"        <label>{name}<type>any</type><attributes></attributes></label>\n")
    file.write("      </labels>\n    </task>\n  </meta>\n")


def _write_annotation(file: TextIO, annotation: Annotation) -> None:
    common = f'label={xml_attribute(annotation.label)} source="{"auto" if annotation.predicted else "manual"}"'
    shape, geometry = f'{common} occluded="{_occluded(annotation)}"', annotation.geometry
    if isinstance(geometry, Box):
        edges = f'xtl="{geometry.left!r}" ytl="{geometry.top!r}" xbr="{geometry.right!r}" ybr="{geometry.bottom!r}"'
        file.write(f'    <box {shape} {edges} z_order="0"></box>\n')
    elif isinstance(geometry, Polygon):
        points = ";".join(f"{x!r},{y!r}" for x, y in geometry.points)
        file.write(f'    <polygon {shape} points="{points}" z_order="0"></polygon>\n')
    elif isinstance(geometry, Mask):
        _write_mask(file, shape, geometry)
    else:
        file.write(f"    <tag {common}></tag>\n")


def _write_mask(file: TextIO, shape: str, mask: Mask) -> None:
    bits = mask.bits()
    # CVAT has no mask without pixels, and such a one says nothing.
    if (extent := extent_px(bits)) is None:
        return
    left, top, right, bottom = extent
    runs = ", ".join(map(str, row_runs(bits[top:bottom, left:right]).tolist()))
    place = f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'
    file.write(f'    <mask {shape} rle="{runs}" {place} z_order="0"></mask>\n')


def _occluded(annotation: Annotation) -> int:
    return int(annotation.attributes is not None and json.loads(annotation.attributes).get("occluded") is True)
