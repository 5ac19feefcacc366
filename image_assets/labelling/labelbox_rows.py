"""What Labelbox's NDJSON says of one image: a data row of an export, or the annotations of one global key."""

import base64
import binascii
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from image_assets.core.annotations import Annotation, Geometry
from image_assets.core.errors import AnnotationError
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask, mask_from_bits
from image_assets.labelling.base import (
    Problem,
    Task,
    name_parts,
    number_in,
    refuse_too_many,
    short,
    side_in,
    text_in,
)
from image_assets.labelling.run_lengths import refuse_many_pixels

# Under what an export and an import name a place.
_PLACES = ("bounding_box", "bbox", "polygon", "mask")


def task_from_row(row: dict[str, Any], where: str, project: str) -> Task | Problem:
    """Return one data row of an export."""
    try:
        data_row, media = (
            _object(row.get("data_row"), "data_row"),
            _object(row.get("media_attributes"), "media_attributes"),
        )
        key = text_in(data_row.get("global_key"), "global_key")
        where = f"{where}, data row {short(key)}"
        sha256, recipe_id = name_parts(key)
        size_px = side_in(media.get("width"), "width"), side_in(media.get("height"), "height")
        label = _chosen(_object(row.get("projects") or {}, "projects"), project)
        left_out: list[str] = []
        made = list(_of_label(label, size_px, left_out)) if label else []
        refuse_too_many(len(made) + len(left_out))
    except AnnotationError as error:
        return Problem(f"{where}: {error}")
    return Task(
        sha256, recipe_id, *size_px, tuple(made), reviewed=label is not None, where=where, left_out=tuple(left_out)
    )


def task_from_parts(entries: list[dict[str, Any]], key: str, file_name: str) -> Task | Problem:
    """Return what annotations to import say of one global key; the image's size is not among it, so 0 x 0."""
    where = f"{file_name}, global key {short(key)}"
    try:
        refuse_too_many(len(entries))
        sha256, recipe_id = name_parts(key)
        left_out: list[str] = []
        made = [each for entry in entries for each in _of_entry(entry, None, left_out)]
        refuse_too_many(len(made))
    except AnnotationError as error:
        return Problem(f"{where}: {error}")
    return Task(sha256, recipe_id, 0, 0, tuple(made), reviewed=True, where=where, left_out=tuple(left_out))


def mask_png(mask: Mask) -> str:
    """Return a mask as the SDK has it: a PNG of zeros and ones, in base64."""
    buffer = io.BytesIO()
    Image.fromarray(mask.bits().astype(np.uint8)).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AnnotationError(f"{what} is {short(value)}; it is an object")
    return value


def _objects(value: Any, what: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise AnnotationError(f"{what} is {short(value)}; it is a list of objects")
    return value


def _chosen(projects: dict[str, Any], project: str) -> dict[str, Any] | None:
    """Return the label of the project that is meant, the newest where there are several; None when there is none."""
    found = {identity: _object(value, "a project") for identity, value in projects.items()}
    meant = [each for identity, each in found.items() if project in (identity, each.get("name"))]
    if not meant and len(found) > 1:
        raise AnnotationError(f"it is in {len(found)} projects; name the one that is meant with --project")
    labels = _objects((meant or list(found.values()) or [{}])[0].get("labels"), "labels")
    return max(labels, key=_made_at) if labels else None


def _made_at(label: dict[str, Any]) -> str:
    details = label.get("label_details")
    times = [details.get(name) for name in ("updated_at", "created_at")] if isinstance(details, dict) else []
    return next((time for time in times if isinstance(time, str)), "")


def _of_label(label: dict[str, Any], size_px: tuple[int, int], left_out: list[str]) -> Iterator[Annotation]:
    details = label.get("label_details")
    who = details.get("created_by") if isinstance(details, dict) else None
    said: dict[str, Any] = {"annotator": str(who)[:200] if who else "", "made_at": _made_at(label)}
    annotations = _object(label.get("annotations") or {}, "annotations")
    for entry in _objects(annotations.get("objects"), "objects"):
        yield from _of_entry(entry, size_px, left_out, **said)
    for entry in _objects(annotations.get("classifications"), "classifications"):
        answers = entry.get("checklist_answers") or [entry.get("radio_answer")]
        if answers == [None]:
            # Free text is no class.
            left_out.append("text")
            continue
        for answer in _objects(answers, "answers"):
            yield Annotation(text_in(answer.get("name"), "an answer's name"), **said)


def _of_entry(
    entry: dict[str, Any], size_px: tuple[int, int] | None, left_out: list[str], **said: Any
) -> Iterator[Annotation]:
    if "answer" in entry:
        answers = entry["answer"]
        if isinstance(answers, str):
            left_out.append("text")
            return
        for answer in _objects(answers if isinstance(answers, list) else [answers], "answer"):
            yield Annotation(text_in(answer.get("name"), "an answer's name"), **_predicted(answer), **said)
        return
    kind = next((name for name in _PLACES if name in entry), None)
    if kind is None:
        left_out.append(str(entry.get("annotation_kind") or next(iter(set(entry) & {"point", "line"}), "object"))[:40])
        return
    try:
        label = text_in(entry.get("name"), "its name")
        geometry = _place(kind, entry[kind], size_px)
        if geometry is None:
            left_out.append("mask at a URL")
            return
        yield Annotation(label, geometry, **_predicted(entry), **said)
    except AnnotationError as error:
        identity = short(entry.get("feature_id") or entry.get("uuid"))
        raise AnnotationError(f"{kind} {identity}: {error}") from error


def _predicted(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what says that a model made it: a person is not sure by a number."""
    confidence = entry.get("confidence")
    return {} if confidence is None else {"predicted": True, "confidence": number_in(confidence, "confidence")}


def _place(kind: str, value: Any, size_px: tuple[int, int] | None) -> Geometry:
    """Return a place; None for a mask that lies behind a URL, which is not fetched."""
    if kind == "polygon":
        points = [(number_in(each.get("x"), "x"), number_in(each.get("y"), "y")) for each in _objects(value, "polygon")]
        return Polygon(tuple(points[:-1] if len(points) > 3 and points[0] == points[-1] else points))
    place = _object(value, kind)
    if kind == "mask":
        return _mask(place, size_px) if isinstance(place.get("png"), str) else None
    left, top, width, height = (number_in(place.get(name), name) for name in ("left", "top", "width", "height"))
    return Box(left, top, left + width, top + height)


def _mask(value: dict[str, Any], size_px: tuple[int, int] | None) -> Mask:
    try:
        data = base64.b64decode(value["png"], validate=True)
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            refuse_many_pixels(*image.size)
            if size_px is not None and image.size != size_px:
                raise AnnotationError(
                    f"a mask of {image.size[0]} x {image.size[1]} pixels, of another size than its image"
                )
            pixels = np.asarray(image.convert("L"))
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise AnnotationError(f"its PNG cannot be read: {error}") from error
    return mask_from_bits(pixels > 0)
