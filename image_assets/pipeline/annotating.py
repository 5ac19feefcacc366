"""Annotations of the images of the newest index, in pixels of its outputs: boxes, polygons and masks follow them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from image_assets.checks.base import Verdict
from image_assets.core.annotation_rows import shape_columns
from image_assets.core.annotations import AnnotatedImage, Annotation
from image_assets.core.index import IndexHead
from image_assets.core.placement import Placement
from image_assets.core.sample import Facts
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.settings import Settings
from image_assets.storage.annotations import annotation_state, read_current
from image_assets.storage.identity import no_index_error, open_made_store, open_store
from image_assets.storage.indexes import iter_index, newest_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.placed_annotations import (
    NOTHING,
    MappedAnnotations,
    PlacedHead,
    publish_placed,
    read_placed_head,
    staged_placed,
    tables_of,
)
from image_assets.storage.store import Store
from image_assets.transforms.placing import Placer

# Raised whenever the same annotations begin to give other rows.
METHOD = "placed-1"
_NO_FILE = PlacedHead(index_number=0, index_digest="", recipe_id="", state="", rows=0, annotated=0, hidden=0, misfits=0)
_FACTS = ["raw_format", "raw_mode", "raw_width_px", "raw_height_px", "orientation", "flags"]


@dataclass(frozen=True, slots=True)
class PlacedReport:
    """The file of annotations after this step; ``waits`` says why it does not follow yet, empty when it does.

    ``head`` has no digest while it waits for its first index.
    """

    head: PlacedHead
    published: bool
    waits: str = ""

    @property
    def index_digest(self) -> str:
        """The digest of the index that the file follows."""
        return self.head.index_digest

    @property
    def facts(self) -> Mapping[str, str | int | float]:
        """How many annotations there are, and how many of them are in no output."""
        head = self.head
        waits = {"waits": self.waits} if self.waits else {}
        return {
            "dagster/row_count": head.rows,
            "annotated_rows": head.annotated,
            "hidden": head.hidden,
            "misfits": head.misfits,
            "index_number": head.index_number,
            "index_digest": head.index_digest,
            **waits,
        }

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """None: whether annotations are good is for the platform to say."""
        return ()


def build_placed_annotations(settings: Settings) -> PlacedReport:
    """Bring ``annotations.parquet`` in line with the newest index and with what was imported.

    It has a row for each annotation of each row of the index, in its order: the geometry in pixels of that output, and
    beside it in pixels of the upright original. What an output does not show has no row. An output of an image that
    was reviewed and shows nothing has one of kind ``nothing``. It is made anew from what is kept, without a pixel.

    Raises:
        DatasetError: there is no index yet.
        ConfigError: a transform does not say where its pixels come from.
        StoreError: the store does not answer or a file is damaged.
    """
    with in_use(store := open_made_store(settings)):
        index = newest_index_head(store)
        if index is None:
            raise no_index_error(settings)
        before, state = read_placed_head(store), annotation_state(store)
        if before is not None and _follows(before, index, state):
            return PlacedReport(before, published=False)
        if index.recipe_id != recipe_id_of(settings):
            waits = f"index {index.number} was made by other settings than these; annotations follow the next one"
            # An exception would also keep from their end a forgetting, which removed the file, and what is built next.
            return PlacedReport(before or _NO_FILE, published=False, waits=waits)
        current = read_current(store)
        rows = _Rows(settings, index, MappedAnnotations(store, current))
        with staged_placed(tables_of(rows.all(store))) as staged:
            counts = rows.counts
            head = PlacedHead(
                index_number=index.number,
                index_digest=index.digest,
                recipe_id=index.recipe_id,
                state=current.facts.words()[0],
                rows=counts["rows"],
                annotated=counts["annotated"],
                hidden=counts["hidden"],
                misfits=counts["misfits"],
            )
            publish_placed(store, head, staged)
        return PlacedReport(head, published=True)


def placed_annotations_version(settings: Settings) -> str:
    """Return one word for what decides the file beside the index; it costs a list and a head.

    Raises:
        StoreError: the store does not answer or a file of annotations is damaged.
    """
    return f"{METHOD}-{annotation_state(open_store(settings)) or 'none'}"


def _follows(head: PlacedHead, index: IndexHead, state: str) -> bool:
    return index.is_followed_by(head) and (head.recipe_id, head.state) == (index.recipe_id, state)


@dataclass
class _Rows:
    """The rows of the file, and what is counted on the way."""

    settings: Settings
    index: IndexHead
    annotations: MappedAnnotations
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("rows", "annotated", "hidden", "misfits"), 0))
    _placer: Placer | None = None

    def all(self, store: Store) -> Iterator[dict[str, Any]]:
        """Yield the rows, one image of annotations in memory at a time."""
        done = 0
        for piece in iter_index(store, self.index.number, columns=["id", "variant", "sha256", *_FACTS]):
            spans = self.annotations.spans(piece["sha256"].to_pylist())
            for row in (spans[:, 1] > spans[:, 0]).nonzero()[0].tolist():
                self.counts["annotated"] += 1
                images = [self.annotations.read(entry) for entry in range(*spans[row].tolist())]
                yield from self._of_output(done + row, piece.slice(row, 1), images)
            done += piece.num_rows

    def _of_output(self, number: int, rows: pa.Table, images: list[AnnotatedImage]) -> Iterator[dict[str, Any]]:
        output = rows.to_pylist()[0]
        # The largest part of the outputs of an image is often its classes: no geometry, no placement.
        needs = any(each.geometry is not None for image in images for each in image.annotations)
        placement = self._placement(output) if needs else None
        for image in images:
            seen = 0
            common = {
                "index_row": number,
                "id": output["id"],
                "platform": image.platform,
                "project": image.project,
                "reviewed": image.reviewed,
            }
            for annotation in image.annotations:
                shape = self._shape(annotation, image, placement)
                if shape is not None:
                    seen += 1
                    yield {**common, **shape, **_said(annotation)}
            if not seen and image.reviewed:
                yield {**common, **dict.fromkeys(("points", "original_points", "original_rle")), "kind": NOTHING}
            self.counts["rows"] += seen or image.reviewed

    def _placement(self, output: Mapping[str, Any]) -> Placement | None:
        """Return how an output came about; None for one of a further frame, which is another picture."""
        self._placer = self._placer or Placer(self.settings)
        if output["variant"] > self.settings.augment.variants:
            return None
        facts = Facts(**{**{name: output[name] for name in _FACTS}, "flags": tuple(output["flags"] or ())})
        return self._placer.placement(facts, output["sha256"], output["variant"])

    def _shape(
        self, annotation: Annotation, image: AnnotatedImage, placement: Placement | None
    ) -> dict[str, Any] | None:
        if annotation.geometry is None:
            return {**shape_columns(None), "visible": 1.0, "original_points": None, "original_rle": None}
        if placement is None:
            self.counts["hidden"] += 1
            return None
        if placement.original_px != (image.width_px, image.height_px):
            self.counts["misfits"] += 1
            return None
        placed = placement.place(annotation.geometry)
        if placed is None:
            self.counts["hidden"] += 1
            return None
        original = shape_columns(annotation.geometry)
        return {
            **shape_columns(placed[0]),
            "visible": placed[1],
            "original_points": original["points"],
            "original_rle": original["rle"],
        }


def _said(annotation: Annotation) -> dict[str, Any]:
    return {
        "kind": annotation.kind,
        "label": annotation.label,
        "predicted": annotation.predicted,
        "confidence": annotation.confidence,
        "annotator": annotation.annotator,
        "made_at": annotation.made_at,
        "attributes": annotation.attributes,
    }
