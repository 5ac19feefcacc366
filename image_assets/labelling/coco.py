"""COCO 1.0 as CVAT exports and imports it: one JSON file of instances, boxes, polygons and masks."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import numpy as np

from image_assets.core.annotations import Annotation, Geometry, Kind
from image_assets.core.errors import AnnotationError
from image_assets.core.extra import extra_text
from image_assets.core.geometry import Box, Polygon, area, bounds
from image_assets.core.masks import Mask, mask_from_counts
from image_assets.labelling.base import (
    Problem,
    Project,
    Task,
    name_parts,
    number_in,
    refuse_too_many,
    short,
    side_in,
    text_in,
)
from image_assets.labelling.cvat_parser import turned_box
from image_assets.labelling.json_stream import iter_members
from image_assets.labelling.opening import opened_export
from image_assets.labelling.run_lengths import extent_px, refuse_many_pixels
from image_assets.labelling.spool import Spool

_ARRAYS = ("images", "annotations", "categories")
# They are in memory.
_MOST_LABELS = 100_000


class Coco:
    """Reads and writes COCO's instances. It has no classes of whole images, and no word for a prediction."""

    kinds: frozenset[Kind] = frozenset({"box", "polygon", "mask"})
    predictions = False
    file_name = "instances_default.json"

    def write(self, tasks: Iterable[Task], folder: Path, project: Project) -> None:
        """Write ``instances_default.json``: an annotation for each box, polygon and mask.

        Raises:
            OSError: the file cannot be written.
        """
        numbers = {label: number for number, label in enumerate(project.labels, start=1)}
        categories = [{"id": number, "name": label, "supercategory": ""} for label, number in numbers.items()]
        aside, count = folder / f".{self.file_name}.annotations", 0
        try:
            with (folder / self.file_name).open("w", encoding="utf-8") as file:
                with aside.open("w", encoding="utf-8") as annotations:
                    file.write(f'{{"info": {{"description": {json.dumps(project.name)}}}, "licenses": [],\n')
                    file.write(f'"categories": {json.dumps(categories)},\n"images": [')
                    for number, task in enumerate(tasks, start=1):
                        file.write(f"{',' * (number > 1)}\n{json.dumps(_image(task, number))}")
                        for annotation in task.of_kinds(self.kinds).annotations:
                            count += 1
                            entry = _entry(annotation, numbers[annotation.label])
                            line = json.dumps({"id": count, "image_id": number, **entry})
                            annotations.write(f"{',' * (count > 1)}\n{line}")
                file.write('\n],\n"annotations": [')
                with aside.open(encoding="utf-8") as annotations:
                    copyfileobj(annotations, file)
                file.write("\n]}\n")
        finally:
            aside.unlink(missing_ok=True)

    def read(self, path: Path, scratch: Path, project: str) -> Iterator[Task | Problem]:  # noqa: ARG002
        """Yield the images of a JSON file, or of the ZIP file that CVAT makes, in the order of its annotations.

        Images and annotations lie in arrays of their own: they are brought together in a file in ``scratch``.

        Raises:
            AnnotationError: it is damaged or no such file.
            OSError: it cannot be read.
        """
        labels: dict[str, str] = {}
        with Spool(scratch) as spool:
            with opened_export(path, ".json") as file:
                for member, element in iter_members(file, path.name, _ARRAYS):
                    _sort_in(path.name, spool, labels, (member, element))
            spool.finish()
            for name, parts in spool.tasks():
                yield _task(f"{path.name}, image {name}", list(parts), labels)


def _image(task: Task, number: int) -> dict[str, Any]:
    name = task.file.partition("/")[2]
    return {"id": number, "file_name": name, "width": task.width_px, "height": task.height_px}


def _entry(annotation: Annotation, category: int) -> dict[str, Any]:
    geometry = annotation.geometry
    segmentation: Any = []
    if isinstance(geometry, Box):
        edges, size = (geometry.left, geometry.top, geometry.right, geometry.bottom), geometry.area
    elif isinstance(geometry, Polygon):
        segmentation = [[value for point in geometry.points for value in point]]
        edges, size = bounds(geometry.points), area(geometry.points)
    else:
        edges, size, segmentation = _mask_entry(geometry)
    return {
        "category_id": category,
        "segmentation": segmentation,
        "bbox": [edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]],
        "area": size,
        "iscrowd": int(isinstance(geometry, Mask)),
        "attributes": json.loads(annotation.attributes or "{}"),
    }


def _mask_entry(mask: Mask | None) -> tuple[tuple[float, float, float, float], float, dict[str, Any]]:
    if mask is None:
        raise AnnotationError("COCO has no classes of whole images")
    edges = extent_px(mask.bits()) or (0, 0, 0, 0)
    return edges, mask.area_px, {"size": [mask.height_px, mask.width_px], "counts": mask.rle}


def _sort_in(name: str, spool: Spool, labels: dict[str, str], member: tuple[str, Any]) -> None:
    """Keep one element of an array with what belongs to the same image."""
    kind, element = member
    if not isinstance(element, dict):
        raise AnnotationError(f"{name}: {kind} holds {short(element)}, which is no object")
    try:
        if kind == "categories":
            labels[_key(element.get("id"))] = text_in(element.get("name"), "a category's name")
            if len(labels) > _MOST_LABELS:
                raise AnnotationError(f"there are more than {_MOST_LABELS} categories")
            return
        image = _key(element.get("id" if kind == "images" else "image_id"))
    except AnnotationError as error:
        raise AnnotationError(f"{name}, {kind}, id {short(element.get('id'))}: {error}") from error
    spool.add(image, json.dumps([kind, element]))


def _key(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise AnnotationError(f"an id is {short(value)}; it is a number or a text")
    return ascii(value)


def _task(where: str, parts: list[str], labels: dict[str, str]) -> Task | Problem:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for kind, element in map(json.loads, parts):
        (images if kind == "images" else annotations).append(element)
    try:
        if len(images) != 1:
            raise AnnotationError(f"it is {len(images)} times among the images and has {len(annotations)} annotations")
        where = f"{where} ({short(images[0].get('file_name'))})"
        refuse_too_many(len(annotations))
        sha256, recipe_id = name_parts(str(images[0].get("file_name")))
        width_px, height_px = (
            side_in(images[0].get("width"), "its width"),
            side_in(images[0].get("height"), "its height"),
        )
        found = tuple(made for each in annotations for made in _annotations(each, labels, (width_px, height_px)))
        refuse_too_many(len(found))
    except AnnotationError as error:
        return Problem(f"{where}: {error}")
    return Task(sha256, recipe_id, width_px, height_px, found, reviewed=bool(found), where=where)


def _annotations(element: dict[str, Any], labels: dict[str, str], size_px: tuple[int, int]) -> Iterator[Annotation]:
    what = f"annotation {short(element.get('id'))}"
    try:
        label = labels.get(_key(element.get("category_id")))
        if label is None:
            raise AnnotationError(f"category_id is {short(element.get('category_id'))}, which no category has")
        attributes = element.get("attributes") or {}
        if not isinstance(attributes, dict):
            raise AnnotationError(f"attributes are {short(attributes)}; they are an object")
        geometries = list(_geometries(element, size_px))
        # COCO's one object in several polygons are several here that say whose parts they are.
        parts = {"object": element.get("id")} if len(geometries) > 1 else {}
        # What CVAT writes of every box, and what says nothing.
        kept = {name: value for name, value in attributes.items() if value is not False and name != "rotation"}
        extra = extra_text({**kept, **parts})
        for geometry in geometries:
            yield Annotation(label, geometry, attributes=extra)
    except (AnnotationError, ValueError) as error:
        raise AnnotationError(f"{what}: {error}") from error


def _geometries(element: dict[str, Any], size_px: tuple[int, int]) -> Iterator[Geometry]:
    segmentation = element.get("segmentation")
    if isinstance(segmentation, dict):
        yield _mask(segmentation, size_px)
    elif segmentation:
        if not isinstance(segmentation, list):
            raise AnnotationError(f"segmentation is {short(segmentation)}; it is a list of polygons, or a mask")
        for ring in segmentation:
            if not isinstance(ring, list) or len(ring) % 2:
                raise AnnotationError("a polygon is a list of x, y, x, y ...")
            values = [number_in(value, "a coordinate") for value in ring]
            yield Polygon(tuple(zip(values[::2], values[1::2], strict=True)))
    else:
        box = element.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise AnnotationError(f"bbox is {short(box)}; it is [left, top, width, height]")
        left, top, width, height = (number_in(value, "bbox") for value in box)
        made = Box(left, top, left + width, top + height)
        degrees = number_in((element.get("attributes") or {}).get("rotation", 0), "rotation")
        centre = ((made.left + made.right) / 2, (made.top + made.bottom) / 2)
        yield turned_box(made, degrees, centre) if degrees % 360 else made


def _mask(segmentation: dict[str, Any], size_px: tuple[int, int]) -> Mask:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [size_px[1], size_px[0]]:
        raise AnnotationError(f"a mask's size is {str(size)[:40]}, and the image's [{size_px[1]}, {size_px[0]}]")
    refuse_many_pixels(*size_px)
    if isinstance(counts, str):
        mask = Mask(size_px[0], size_px[1], counts)
        # One mask has one text, whoever wrote it.
        return mask_from_counts(size_px[0], size_px[1], mask.counts())
    if not isinstance(counts, list) or not all(type(run) is int and 0 <= run < 2**31 for run in counts):
        raise AnnotationError("a mask's counts are a list of whole numbers, or a text")
    return mask_from_counts(size_px[0], size_px[1], np.array(counts, np.int64))
