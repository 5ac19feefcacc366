"""Label Studio's JSON tasks: what people made as annotations, what models made as predictions, places in percent."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from image_assets.core.annotations import KINDS, Annotation, Kind
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask
from image_assets.labelling.base import Problem, Project, Task
from image_assets.labelling.brush_rle import encode_brush
from image_assets.labelling.cvat_xml import xml_attribute
from image_assets.labelling.json_stream import iter_elements
from image_assets.labelling.label_studio_tasks import task_from_json
from image_assets.labelling.opening import opened_export

# Where its server looks for files below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.
_LOCAL_FILES = "/data/local-files/?d="
# The model_version of predictions whose maker does not say who it is.
_MODEL = "image_assets"
# The tag of each kind in the labelling configuration: its element, and what its results are called.
_TAGS: dict[Kind, tuple[str, str]] = {
    "class": ("Choices", "choices"),
    "box": ("RectangleLabels", "rectanglelabels"),
    "polygon": ("PolygonLabels", "polygonlabels"),
    "mask": ("BrushLabels", "brushlabels"),
}


class LabelStudio:
    """Reads and writes Label Studio's tasks, and the labelling configuration that they are made for."""

    kinds: frozenset[Kind] = frozenset(KINDS)
    predictions = True
    file_name = "tasks.json"

    def write(self, tasks: Iterable[Task], folder: Path, project: Project) -> None:
        """Write ``tasks.json``, and ``label_config.xml`` for the project's settings.

        Raises:
            OSError: a file cannot be written.
            AnnotationError: a label holds a character that XML has not.
        """
        (folder / "label_config.xml").write_text(_label_config(project), encoding="utf-8")
        with (folder / self.file_name).open("w", encoding="utf-8") as file:
            file.write("[")
            for number, task in enumerate(tasks):
                file.write(f"{',' * (number > 0)}\n{json.dumps(_task(task, project.url or _LOCAL_FILES))}")
            file.write("\n]\n")

    def read(self, path: Path, scratch: Path, project: str) -> Iterator[Task | Problem]:  # noqa: ARG002
        """Yield the tasks of an export as JSON (not JSON-MIN): of each the annotation that counts.

        Raises:
            AnnotationError: it is damaged or no such file.
            OSError: it cannot be read.
        """
        with opened_export(path, ".json") as file:
            for number, element in enumerate(iter_elements(file, path.name), start=1):
                yield task_from_json(element, path.name, number)


def _label_config(project: Project) -> str:
    lines = ["<View>", '  <Image name="image" value="$image"/>']
    for kind, (tag, _) in _TAGS.items():
        child = "Choice" if kind == "class" else "Label"
        options = ' choice="multiple"' if kind == "class" else ""
        lines.append(f'  <{tag} name="{kind}" toName="image"{options}>')
        lines += [f"    <{child} value={xml_attribute(label)}/>" for label in project.labels]
        lines.append(f"  </{tag}>")
    return "\n".join([*lines, "</View>", ""])


def _task(task: Task, url: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "data": {
            "image": f"{url}{task.file}",
            "name": task.name,
            "sha256": task.sha256,
            "output_sha256": task.output_sha256,
            "key": task.key,
            "width_px": task.width_px,
            "height_px": task.height_px,
        }
    }
    by_people = [each for each in task.annotations if not each.predicted]
    predicted = [each for each in task.annotations if each.predicted]
    if by_people or task.reviewed:
        made["annotations"] = [{"result": _results(by_people, task), "ground_truth": False, "was_cancelled": False}]
    if predicted:
        scores = [each.confidence for each in predicted if each.confidence is not None]
        prediction: dict[str, Any] = {"model_version": predicted[0].annotator or _MODEL}
        if scores:
            prediction["score"] = sum(scores) / len(scores)
        made["predictions"] = [{**prediction, "result": _results(predicted, task)}]
    return made


def _results(annotations: list[Annotation], task: Task) -> list[dict[str, Any]]:
    # All classes of an image are the choices of one tag, which is answered once.
    classes = [each.label for each in annotations if each.geometry is None]
    found = [_result("classes", "class", {"choices": classes}, task)] if classes else []
    for number, annotation in enumerate(annotations):
        if annotation.geometry is None:
            continue
        value = {**_value(annotation, task), _TAGS[annotation.kind][1]: [annotation.label]}
        result = _result(f"a{number}", annotation.kind, value, task)
        if annotation.confidence is not None:
            result["score"] = annotation.confidence
        if annotation.attributes is not None:
            result["meta"] = {"attributes": annotation.attributes}
        found.append(result)
    return found


def _result(name: str, kind: Kind, value: dict[str, Any], task: Task) -> dict[str, Any]:
    result = {"id": name, "from_name": kind, "to_name": "image", "type": _TAGS[kind][1], "value": value}
    size = {"original_width": task.width_px, "original_height": task.height_px, "image_rotation": 0}
    return {**result, **size}


def _value(annotation: Annotation, task: Task) -> dict[str, Any]:
    geometry, across, down = annotation.geometry, 100 / task.width_px, 100 / task.height_px
    if isinstance(geometry, Box):
        return {
            "x": geometry.left * across,
            "y": geometry.top * down,
            "width": (geometry.right - geometry.left) * across,
            "height": (geometry.bottom - geometry.top) * down,
            "rotation": 0,
        }
    if isinstance(geometry, Polygon):
        return {"points": [[x * across, y * down] for x, y in geometry.points], "closed": True}
    return {"format": "rle", "rle": encode_brush(geometry.bits()) if isinstance(geometry, Mask) else []}
