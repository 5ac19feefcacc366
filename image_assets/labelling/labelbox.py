"""Labelbox: NDJSON of annotations by global key, which its SDK imports, and of data rows, which it exports."""

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import IO, Any

from image_assets.core.annotations import KINDS, Annotation, Kind
from image_assets.core.errors import AnnotationError
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask
from image_assets.labelling.base import Problem, Project, Task
from image_assets.labelling.json_stream import MOST_ELEMENT_CHARS, parse_line
from image_assets.labelling.labelbox_rows import mask_png, task_from_parts, task_from_row
from image_assets.labelling.opening import opened_export
from image_assets.labelling.spool import Spool

# The classification of the ontology that holds the classes of whole images: a checklist.
CLASS_TOOL = "class"
DATA_ROWS = "data_rows.ndjson"
PREDICTIONS = "predictions.ndjson"
_UUIDS = uuid.UUID("3b1f3a34-6c59-4f0e-9f53-0d1a4f3f2f0e")


class Labelbox:
    """Writes what its SDK imports and reads that or what it exports; each label is a tool of the ontology."""

    kinds: frozenset[Kind] = frozenset(KINDS)
    predictions = True
    file_name = "annotations.ndjson"

    def write(self, tasks: Iterable[Task], folder: Path, project: Project) -> None:
        """Write the data rows to create, what people made (for LabelImport), what models made (MALPredictionImport).

        Raises:
            OSError: a file cannot be written.
        """
        with ExitStack() as files:
            names = (DATA_ROWS, self.file_name, PREDICTIONS)
            rows, made, predicted = (
                files.enter_context((folder / name).open("w", encoding="utf-8", newline="\n")) for name in names
            )
            for task in tasks:
                rows.write(_line(_data_row(task, project)))
                for annotations, file in (
                    ([each for each in task.annotations if not each.predicted], made),
                    ([each for each in task.annotations if each.predicted], predicted),
                ):
                    file.writelines(map(_line, _entries(annotations, task)))

    def read(self, path: Path, scratch: Path, project: str) -> Iterator[Task | Problem]:
        """Yield the images of an export (a data row a line), or of a file of annotations to import.

        Annotations of one image may lie apart: they are brought together in a file in ``scratch``.

        Raises:
            AnnotationError: it is damaged or no such file.
            OSError: it cannot be read.
        """
        with opened_export(path, ".ndjson") as file, Spool(scratch) as spool:
            lines = _lines(file, path.name)
            first = next(lines, None)
            every = chain([first], lines) if first is not None else lines
            if first is None or "data_row" in first[1]:
                for where, row in every:
                    yield task_from_row(row, where, project)
                return
            for where, entry in every:
                spool.add(_global_key(entry, where), json.dumps(entry))
            spool.finish()
            for key, parts in spool.tasks():
                yield task_from_parts([json.loads(part) for part in parts], key, path.name)


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    while line := file.readline(MOST_ELEMENT_CHARS + 1):
        number += 1
        where = f"{name}, line {number}"
        if len(line) > MOST_ELEMENT_CHARS:
            raise AnnotationError(f"{where} takes more than {MOST_ELEMENT_CHARS} bytes")
        if not line.strip():
            continue
        try:
            value = parse_line(line)
        except AnnotationError as error:
            raise AnnotationError(f"{where}: {error}") from error
        if not isinstance(value, dict):
            raise AnnotationError(f"{where} is no JSON object")
        yield where, value


def _global_key(entry: dict[str, Any], where: str) -> str:
    row = entry.get("dataRow")
    key = row.get("globalKey") if isinstance(row, dict) else None
    if not isinstance(key, str):
        raise AnnotationError(f"{where} is neither a data row of an export nor an annotation with a dataRow.globalKey")
    return key.encode(errors="replace").decode()


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _data_row(task: Task, project: Project) -> dict[str, Any]:
    return {"row_data": f"{project.url}{task.file}", "global_key": task.name, "media_type": "IMAGE"}


def _entries(annotations: list[Annotation], task: Task) -> Iterator[dict[str, Any]]:
    # All classes of an image are the answers of one checklist, which is answered once.
    classes = [_answer(each) for each in annotations if each.geometry is None]
    common = {"dataRow": {"globalKey": task.name}}
    if classes:
        yield {"uuid": _uuid(task, -1), **common, "name": CLASS_TOOL, "answer": classes}
    for number, annotation in enumerate(annotations):
        if annotation.geometry is not None:
            name = {"uuid": _uuid(task, number), **common, "name": annotation.label, "classifications": []}
            yield {**name, **_confidence(annotation), **_place(annotation)}


def _uuid(task: Task, number: int) -> str:
    # The same for the same annotation: Labelbox makes no second one of it.
    return str(uuid.uuid5(_UUIDS, f"{task.sha256} {task.recipe_id} {number}"))


def _answer(annotation: Annotation) -> dict[str, Any]:
    return {"name": annotation.label, **_confidence(annotation)}


def _confidence(annotation: Annotation) -> dict[str, float]:
    return {} if annotation.confidence is None else {"confidence": annotation.confidence}


def _place(annotation: Annotation) -> dict[str, Any]:
    geometry = annotation.geometry
    if isinstance(geometry, Box):
        size = {"height": geometry.bottom - geometry.top, "width": geometry.right - geometry.left}
        return {"bbox": {"top": geometry.top, "left": geometry.left, **size}}
    if isinstance(geometry, Polygon):
        # The SDK's polygons are closed by their last point.
        return {"polygon": [{"x": x, "y": y} for x, y in (*geometry.points, geometry.points[0])]}
    return {"mask": {"png": mask_png(geometry)}} if isinstance(geometry, Mask) else {}
