"""One task of a Label Studio export: which of its annotations counts, and what it says in pixels."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from image_assets.core.annotations import Annotation, Geometry
from image_assets.core.errors import AnnotationError
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import mask_from_bits
from image_assets.labelling.base import (
    Problem,
    Task,
    find_names,
    name_parts,
    number_in,
    refuse_too_many,
    short,
    side_in,
    text_in,
)
from image_assets.labelling.brush_rle import decode_brush
from image_assets.labelling.cvat_parser import turned_box

# Under what a result names its labels; ``labels`` is of the tags Rectangle, Polygon and Brush with Labels beside them.
_LABELS = ("choices", "rectanglelabels", "polygonlabels", "brushlabels", "labels")
# Results without a label of their own, which a result of the same id has beside them.
_BARE = ("rectangle", "polygon", "brush")
_RECTANGLE = ("x", "y", "width", "height")


def task_from_json(element: Any, file_name: str, number: int) -> Task | Problem:
    """Return one element of the array.

    Args:
        number: which it is, from 1, for a task that has no id.
    """
    identity = element.get("id", element.get("inner_id")) if isinstance(element, dict) else None
    where = f"{file_name}, task {short(identity) if identity is not None else f'no. {number}'}"
    try:
        return _task(element, where)
    except AnnotationError as error:
        return Problem(f"{where}: {error}")


def _task(element: Any, where: str) -> Task:
    data = element.get("data") if isinstance(element, dict) else None
    if not isinstance(data, dict):
        raise AnnotationError("it has no data; export as JSON, not as JSON-MIN")
    sha256, recipe_id = _names(data)
    annotation = _chosen(element)
    results = _list(annotation.get("result"), "result") if annotation else []
    size_px = _size(results, data)
    left_out: list[str] = []
    who, when = _annotator(annotation or {}), _time((annotation or {}).get("updated_at"))
    made = [each for result in results for each in _annotations(result, (size_px, left_out), (who, when))]
    refuse_too_many(len(made) + len(left_out))
    return Task(
        sha256=sha256,
        recipe_id=recipe_id,
        width_px=size_px[0],
        height_px=size_px[1],
        annotations=tuple(made),
        reviewed=annotation is not None,
        output_sha256=str(data.get("output_sha256") or ""),
        where=where,
        left_out=tuple(left_out),
    )


def _names(data: dict[str, Any]) -> tuple[str, str]:
    """Return the beginning of the sha256 and the recipe; from the image's URL where the rest of the data is gone."""
    texts = [value for value in (data.get("name"), data.get("image")) if isinstance(value, str)]
    sha256, recipe_id = next(filter(None, map(find_names, texts)), None) or name_parts(texts[0] if texts else "")
    whole = data.get("sha256")
    if whole is not None and not str(whole).startswith(sha256):
        raise AnnotationError(f"its sha256 is {short(whole)}, and its image that of {sha256}")
    return sha256, recipe_id


def _chosen(element: dict[str, Any]) -> dict[str, Any] | None:
    """Return the annotation that counts: the ground truth if there is one, else the one that was last changed."""
    found = [each for each in _list(element.get("annotations"), "annotations") if not each.get("was_cancelled")]
    ranked = sorted(found, key=lambda each: (each.get("ground_truth") is True, _time(each.get("updated_at"))))
    return ranked[-1] if ranked else None


def _list(value: Any, what: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise AnnotationError(f"{what} is {short(value)}; it is a list of objects")
    return value


def _size(results: list[dict[str, Any]], data: dict[str, Any]) -> tuple[int, int]:
    """Return what Label Studio says of the file's size; where it says nothing, what it was told."""
    sizes = {(each["original_width"], each["original_height"]) for each in results if _has_size(each)}
    sizes = sizes or {(data.get("width_px"), data.get("height_px"))}
    if len(sizes) > 1:
        raise AnnotationError(f"its results are of images of {len(sizes)} sizes")
    width, height = sizes.pop()
    return side_in(width, "original_width"), side_in(height, "original_height")


def _has_size(result: dict[str, Any]) -> bool:
    return all(isinstance(result.get(name), int | float) for name in ("original_width", "original_height"))


def _annotator(annotation: dict[str, Any]) -> str:
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    return "" if by is None else str(by)[:200]


def _time(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    try:
        return datetime.fromisoformat(value).isoformat()
    except ValueError as error:
        raise AnnotationError(f"updated_at is {short(value)}, which is no time") from error


def _annotations(
    result: dict[str, Any], frame: tuple[tuple[int, int], list[str]], said: tuple[str, str]
) -> Iterator[Annotation]:
    """Yield what a result says, one for each of its labels; what no annotation can hold is added to a list."""
    (size_px, left_out), value, kind = frame, result.get("value"), str(result.get("type", ""))[:40]
    names = [name for name in _LABELS if isinstance(value, dict) and name in value]
    if not isinstance(value, dict) or not names or kind in _BARE:
        # The one with labels says the same place again.
        if kind not in _BARE:
            left_out.append(kind or "result")
        return
    try:
        if number_in(result.get("image_rotation") or 0, "image_rotation") % 360:
            raise AnnotationError("the image was turned there, and places in it are of the turned one; turn it back")
        geometries = [None] if names[0] == "choices" else list(_geometries(value, size_px))
        if not geometries:
            left_out.append(kind)
            return
        for label in value[names[0]] if isinstance(value[names[0]], list) else [value[names[0]]]:
            yield Annotation(
                text_in(label, f"a label among its {names[0]}"),
                geometries[0],
                annotator=said[0],
                made_at=said[1],
                attributes=_attributes(result),
            )
    except AnnotationError as error:
        raise AnnotationError(f"result {short(result.get('id'))}: {error}") from error


def _attributes(result: dict[str, Any]) -> str | None:
    meta = result.get("meta")
    text = meta.get("attributes") if isinstance(meta, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return text if isinstance(json.loads(text), dict) else None
    except (ValueError, RecursionError) as error:
        raise AnnotationError("meta.attributes is no JSON object") from error


def _geometries(value: dict[str, Any], size_px: tuple[int, int]) -> Iterator[Geometry]:
    across, down = size_px[0] / 100, size_px[1] / 100
    if "rle" in value:
        yield mask_from_bits(decode_brush(value["rle"], *size_px))
    elif "points" in value:
        points = value["points"]
        if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise AnnotationError("points are a list of [x, y]")
        yield Polygon(tuple((number_in(x, "x") * across, number_in(y, "y") * down) for x, y in points))
    elif all(name in value for name in _RECTANGLE):
        x, y, width, height = (number_in(value[name], name) for name in _RECTANGLE)
        box = Box(x * across, y * down, (x + width) * across, (y + height) * down)
        degrees = number_in(value.get("rotation") or 0, "rotation")
        # It turns around its upper left corner there.
        yield turned_box(box, degrees, (box.left, box.top)) if degrees % 360 else box
