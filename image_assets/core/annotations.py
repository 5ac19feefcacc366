"""What people and models say of an image: classes, boxes, polygons and masks, in the pixels of the upright original."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from image_assets.core.errors import AnnotationError
from image_assets.core.extra import MOST_EXTRA_BYTES
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask

# What an annotation encloses; None is the whole image, which is what a class says something of.
Geometry = Box | Polygon | Mask | None
Kind = Literal["class", "box", "polygon", "mask"]
KINDS: tuple[Kind, ...] = ("class", "box", "polygon", "mask")
# More of one image are no annotations but noise, and would fill the memory of a reader.
MOST_ANNOTATIONS = 10_000
MOST_IMAGE_BYTES = 32 * 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Annotation:
    """One statement about an image, or about a part of it.

    Args:
        label: what is there; the name of a class.
        geometry: in pixels of the upright original (EXIF orientation applied), of its first frame where it has
            several; continuous coordinates, x to the right, y down, the middle of the first pixel at (0.5, 0.5). None
            for a class.
        predicted: a model made it, and no person confirmed it.
        confidence: how sure that model was, 0-1; None where it does not say.
        annotator: who made it, as the platform names them; empty when it does not say.
        made_at: when it was last changed, ISO 8601 (``2026-11-21T10:00:00+00:00``); empty when it does not say.
        attributes: what else the platform says, a JSON object as text (core/extra.py: extra_text makes it); None for
            nothing.
    """

    label: str
    geometry: Geometry = None
    predicted: bool = False
    confidence: float | None = None
    annotator: str = ""
    made_at: str = ""
    attributes: str | None = None

    def __post_init__(self) -> None:
        """Accept an annotation that is one.

        Raises:
            AnnotationError: a text is empty or too long, a time is none, or a confidence is not between 0 and 1.
        """
        if not self.label or max(len(self.label), len(self.annotator)) > _MOST_TEXT:
            raise AnnotationError(f"a label has 1 to {_MOST_TEXT} characters; found {self.label[:40]!r}")
        if self.confidence is not None and not (self.predicted and 0 <= self.confidence <= 1):
            raise AnnotationError(f"a confidence is 0 to 1 and of a prediction; found {self.confidence!r}")
        if self.made_at:
            _refuse_no_time(self.made_at)
        _refuse_no_text(self.label, self.annotator, self.attributes or "")
        if self.attributes is not None and len(self.attributes.encode(errors="replace")) > MOST_EXTRA_BYTES:
            raise AnnotationError(f"the attributes of an annotation take more than {MOST_EXTRA_BYTES} bytes")

    @property
    def kind(self) -> Kind:
        """What it says something of: class, box, polygon or mask."""
        if self.geometry is None:
            return "class"
        return "box" if isinstance(self.geometry, Box) else "polygon" if isinstance(self.geometry, Polygon) else "mask"

    @property
    def size_bytes(self) -> int:
        """About what it takes in a file."""
        shape = self.geometry
        points = 16 * len(shape.points) if isinstance(shape, Polygon) else 32
        rest = len(self.label) + len(self.annotator) + len(self.made_at) + len(self.attributes or "")
        return rest + (len(shape.rle) if isinstance(shape, Mask) else points)


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """All that one project of one platform says of one image, at one time; it takes the place of what it said before.

    Args:
        sha256: of the raw bytes, 64 hex digits: what the annotations belong to, under whatever key.
        width_px: of the upright original.
        height_px: of the upright original.
        platform: ``cvat``, ``label-studio``, ``labelbox``, or a name of one's own.
        project: which project of the platform; each has a say of its own.
        annotations: in the platform's order.
        reviewed: a person looked at the image. Without annotations this means that there is nothing to be seen; an
            image that is not reviewed and has none says nothing (so that takes back what was said before).
    """

    sha256: str
    width_px: int
    height_px: int
    platform: str
    project: str
    annotations: tuple[Annotation, ...] = ()
    reviewed: bool = False

    def __post_init__(self) -> None:
        """Accept annotations that can be of this image.

        Raises:
            AnnotationError: the hash is none, a side is not above 0, there are too many, a mask has another size.
        """
        if not _SHA256.fullmatch(self.sha256):
            raise AnnotationError(f"a sha256 has 64 lower-case hex digits; found {self.sha256[:80]!r}")
        if min(self.width_px, self.height_px) < 1:
            raise AnnotationError(f"image {self.sha256[:12]} of {self.width_px} x {self.height_px} pixels")
        if not self.platform or max(len(self.platform), len(self.project)) > _MOST_TEXT:
            raise AnnotationError(
                f"a platform has a name of 1 to {_MOST_TEXT} characters; found {self.platform[:40]!r}"
            )
        _refuse_no_text(self.platform, self.project)
        if len(self.annotations) > MOST_ANNOTATIONS:
            raise AnnotationError(
                f"image {self.sha256[:12]} has {len(self.annotations)} annotations; the limit is {MOST_ANNOTATIONS}"
            )
        if (size_bytes := sum(each.size_bytes for each in self.annotations)) > MOST_IMAGE_BYTES:
            raise AnnotationError(
                f"the annotations of image {self.sha256[:12]} take {size_bytes} bytes; the limit is {MOST_IMAGE_BYTES}"
            )
        for mask in (each.geometry for each in self.annotations if isinstance(each.geometry, Mask)):
            if (mask.width_px, mask.height_px) != (self.width_px, self.height_px):
                raise AnnotationError(
                    f"a mask of {mask.width_px} x {mask.height_px} pixels on image {self.sha256[:12]} "
                    f"of {self.width_px} x {self.height_px}"
                )


def _refuse_no_time(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise AnnotationError(f"a time is ISO 8601 (2026-11-21T10:00:00+00:00); found {text[:40]!r}") from error


def _refuse_no_text(*texts: str) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise AnnotationError(f"an annotation has a text that is none: {error.object[:40]!r}") from error
