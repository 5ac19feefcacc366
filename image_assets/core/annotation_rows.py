"""Annotations as rows of a table: one row is what a project says of an image, with all of its annotations."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from image_assets.core.annotations import AnnotatedImage, Annotation, Geometry
from image_assets.core.errors import AnnotationError
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask

ANNOTATION = pa.struct(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        # Of a box left, top, right and bottom; of a polygon x and y of each point.
        pa.field("points", pa.list_(pa.float64())),
        # Of a mask of the image's size, COCO's compressed RLE.
        pa.field("rle", pa.string()),
        pa.field("predicted", pa.bool_(), nullable=False),
        pa.field("confidence", pa.float64()),
        pa.field("annotator", pa.string(), nullable=False),
        pa.field("made_at", pa.string(), nullable=False),
        pa.field("attributes", pa.string()),
    ]
)
ANNOTATION_ROWS = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("width_px", pa.int32(), nullable=False),
        pa.field("height_px", pa.int32(), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("project", pa.string(), nullable=False),
        pa.field("reviewed", pa.bool_(), nullable=False),
        # When it came, in numbers of imports: the newest of a project counts.
        pa.field("imported", pa.int32(), nullable=False),
        # Of all that the row says but when it came; null where it says nothing.
        pa.field("digest", pa.string()),
        # What the classes that people gave come to; null where they gave none, or several.
        pa.field("class_label", pa.string()),
        pa.field("annotations", pa.list_(ANNOTATION), nullable=False),
    ]
)


def image_row(image: AnnotatedImage) -> dict[str, Any]:
    """Return the row of an image's annotations, as of import 0."""
    content = {
        "sha256": image.sha256,
        "width_px": image.width_px,
        "height_px": image.height_px,
        "platform": image.platform,
        "project": image.project,
        "reviewed": image.reviewed,
        "annotations": [_annotation_row(each) for each in image.annotations],
    }
    says = image.reviewed or image.annotations
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32] if says else None
    return {**content, "imported": 0, "digest": digest, "class_label": class_of(image)}


def image_of_row(row: Mapping[str, Any]) -> AnnotatedImage:
    """Return the annotations that a row holds.

    Raises:
        ValueError: it is none that was written here.
    """
    names = ("sha256", "width_px", "height_px", "platform", "project", "reviewed")
    size_px = (row["width_px"], row["height_px"])
    try:
        annotations = tuple(_annotation(each, size_px) for each in row["annotations"])
        return AnnotatedImage(**{name: row[name] for name in names}, annotations=annotations)
    except AnnotationError as error:
        raise ValueError(str(error)) from error


def class_of(image: AnnotatedImage) -> str | None:
    """Return the class that people gave to an image: of several different ones the newest, None when none is.

    Without times nothing tells which of two is newer; then there is no class.
    """
    given = [each for each in image.annotations if each.kind == "class" and not each.predicted]
    newest = max((_instant(each.made_at) for each in given), default=None)
    labels = {each.label for each in given}
    if len(labels) > 1:
        labels = {each.label for each in given if _instant(each.made_at) == newest}
    return labels.pop() if len(labels) == 1 else None


def _instant(made_at: str) -> datetime:
    """Return a time; one without a zone is UTC, none is before all others."""
    if not made_at:
        return datetime.min.replace(tzinfo=UTC)
    time = datetime.fromisoformat(made_at)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def shape_columns(shape: Geometry) -> dict[str, Any]:
    """Return the columns ``points`` and ``rle`` of a geometry."""
    points: list[float] | None = None
    if isinstance(shape, Box):
        points = [float(edge) for edge in (shape.left, shape.top, shape.right, shape.bottom)]
    elif isinstance(shape, Polygon):
        points = [float(value) for point in shape.points for value in point]
    return {"points": points, "rle": shape.rle if isinstance(shape, Mask) else None}


def _annotation_row(annotation: Annotation) -> dict[str, Any]:
    return {
        "label": annotation.label,
        "kind": annotation.kind,
        **shape_columns(annotation.geometry),
        "predicted": annotation.predicted,
        "confidence": annotation.confidence,
        "annotator": annotation.annotator,
        "made_at": annotation.made_at,
        "attributes": annotation.attributes,
    }


def _annotation(row: Mapping[str, Any], size_px: tuple[int, int]) -> Annotation:
    names = ("label", "predicted", "confidence", "annotator", "made_at", "attributes")
    return Annotation(geometry=geometry_of(row, size_px), **{name: row[name] for name in names})


def geometry_of(row: Mapping[str, Any], size_px: tuple[int, int]) -> Geometry:
    """Return the geometry in ``points`` and ``rle`` of a row of some ``kind``.

    Raises:
        AnnotationError: it is none.
    """
    points = row["points"]
    if row["kind"] == "box":
        return Box(*points)
    if row["kind"] == "polygon":
        return Polygon(tuple(zip(points[::2], points[1::2], strict=True)))
    return Mask(*size_px, row["rle"]) if row["kind"] == "mask" else None
