"""The tasks of one export to a labelling platform: images, and what is said of them so far."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from image_assets.core.annotation_rows import image_of_row, image_row
from image_assets.core.annotations import AnnotatedImage, Annotation
from image_assets.core.errors import ConfigError, DatasetError
from image_assets.core.placement import Placement
from image_assets.formats.base import FILE_ENDINGS
from image_assets.labelling.base import Platform, Task
from image_assets.labelling.spool import Spool
from image_assets.pipeline.hash_sets import HashSet
from image_assets.pipeline.label_images import (
    BATCH_IMAGES,
    FACTS,
    Contents,
    first_rows,
    placement_of,
    placing_settings,
)
from image_assets.pipeline.reading import Dataset
from image_assets.settings import Settings
from image_assets.storage.auto_labels import iter_auto_labels, read_auto_labels_head
from image_assets.storage.labelling import ExportRecord
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables
from image_assets.transforms.placing import Placer

# In each batch's folder: what was sent, a line a task.
TASKS = "tasks.jsonl"
# Who said a label that the dataset has from its source.
FROM_DATASET = "dataset"
# Who said one that auto_labels.parquet has; the labels of its neighbours come before ImageNet's.
FROM_MODEL = "auto_labels"
_MAKERS = ("neighbour", "imagenet")
_COLUMNS = [*FACTS, "key", "label", "output_sha256", "width_px", "height_px", "format", "segment", "row"]


def told_labels(store: Store, dataset: Dataset) -> Iterator[pa.Table]:
    """Return what models say of each row of the index, in pieces of BATCH_IMAGES.

    Raises:
        DatasetError: it was never told, or of another index.
        StoreError: the file is damaged.
    """
    head = read_auto_labels_head(store)
    if head is None or not dataset.head.is_followed_by(head):
        found = "there are none" if head is None else f"they are those of index {head.index_number}"
        raise DatasetError(
            f"predictions of index {dataset.head.number} are asked for, and {found}; run the dataset with auto labels"
        )
    columns = [f"{maker}_{what}" for maker in _MAKERS for what in ("label", "confidence")]
    return cut_tables(iter_auto_labels(store, columns), BATCH_IMAGES)


@dataclass(frozen=True, slots=True)
class Said:
    """What people said so far, by content, in a file; ``labels`` are all names in it."""

    spool: Spool
    contents: HashSet
    labels: set[str]

    @classmethod
    def gather(cls, spool: Spool, images: Iterator[AnnotatedImage]) -> "Said":
        """Keep what people said; what models said and nobody confirmed is no label yet."""
        contents = HashSet()
        labels: set[str] = set()
        for image in images:
            by_people = [each for each in image.annotations if not each.predicted]
            if not by_people and not image.reviewed:
                continue
            labels.update(each.label for each in by_people)
            contents.add([image.sha256])
            spool.add(image.sha256, json.dumps(image_row(image)))
        spool.finish()
        return cls(spool, contents, labels)

    def of(self, sha256: str) -> Iterator[AnnotatedImage]:
        """Yield what each project says of a content."""
        if sha256 in self.contents:
            yield from (image_of_row(json.loads(part)) for part in self.spool.parts(sha256))


@dataclass(slots=True)
class Batch:
    """The tasks of one batch as they are made."""

    settings: Settings
    dataset: Dataset
    contents: Contents
    said: Said
    labels: tuple[str, ...]
    told: Iterator[pa.Table] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def record(self, platform: str, project: str) -> ExportRecord:
        """Settle which labels are offered, and return what to keep of this export.

        Raises:
            ConfigError: none are named, and the dataset has none.
        """
        if not self.labels:
            found = set(self.said.labels)
            for rows in first_rows(self.dataset, ["label"], 4096):
                found.update(label for label in rows["label"].unique().to_pylist() if label)
            self.labels = tuple(sorted(found))
        if not self.labels:
            raise ConfigError("the dataset has no labels to offer; name them with --labels")
        recipe = placing_settings(self.settings)
        return ExportRecord(platform, project, tuple(sorted(self.labels)), self.dataset.head.recipe_id, recipe)

    def tasks(self, folder: Path, platform: Platform) -> Iterator[Task]:
        """Yield the tasks, writing the image of each and the line that says it was sent."""
        left = np.ones(len(self.contents.hashes), bool)
        placer = Placer(self.settings)
        with (folder / TASKS).open("w", encoding="utf-8") as lines:
            for rows in first_rows(self.dataset, _COLUMNS, beside=self.told):
                places, found = self.contents.find(rows["sha256"].to_pylist())
                asked = np.flatnonzero(found & left[places])
                firsts = np.sort(asked[np.unique(places[asked], return_index=True)[1]])
                left[places[firsts]] = False
                chosen = rows.take(firsts)
                images = self.dataset.encoded(chosen)
                for row, data, place in zip(chosen.to_pylist(), images, places[firsts].tolist(), strict=True):
                    task = self._task(row, placement_of(placer, row), place)
                    (folder / task.file).write_bytes(data)
                    lines.write(_line(task))
                    yield self._countable(task, platform)

    def _task(self, row: dict[str, Any], placement: Placement, place: int) -> Task:
        said = list(self.said.of(row["sha256"]))
        by_people = dict.fromkeys(each for image in said for each in image.annotations if not each.predicted)
        every = [*by_people]
        if not any(each.kind == "class" for each in by_people):
            every += self._predicted(row)
        return Task(
            sha256=row["sha256"],
            recipe_id=self.dataset.head.recipe_id,
            width_px=row["width_px"],
            height_px=row["height_px"],
            annotations=tuple(self._placed(every, placement)),
            reviewed=any(image.reviewed for image in said),
            ending=FILE_ENDINGS[row["format"]],
            output_sha256=row["output_sha256"],
            key=row["key"],
            place=place,
        )

    def _predicted(self, row: dict[str, Any]) -> list[Annotation]:
        """Return the class that an image of which no person said one has from its source, or from a model."""
        if row["label"]:
            return [Annotation(row["label"], predicted=True, annotator=FROM_DATASET)]
        for maker in _MAKERS:
            label = row.get(f"{maker}_label")
            # A model that knows a thousand classes is of use where its class is offered.
            if label and (maker == _MAKERS[0] or label in self.labels):
                return [Annotation(label, None, True, row[f"{maker}_confidence"], f"{FROM_MODEL} ({maker})")]
        return []

    def _placed(self, annotations: list[Annotation], placement: Placement) -> Iterator[Annotation]:
        for annotation in annotations:
            placed = placement.place(annotation.geometry)
            if annotation.label not in self.labels:
                self.left_out["label that is not offered"] += 1
            elif placed is None:
                self.left_out["outside of the image that is sent"] += 1
            else:
                yield replace(annotation, geometry=placed[0])

    def _countable(self, task: Task, platform: Platform) -> Task:
        kept = task.of_kinds(platform.kinds)
        if not platform.predictions:
            kept = kept.without_predictions()
        for each in task.annotations:
            if each not in kept.annotations:
                self.left_out[f"{'predicted ' * each.predicted}{each.kind}, which the platform has not"] += 1
        self.counts["tasks"] += 1
        for each in kept.annotations:
            self.counts["predictions" if each.predicted else "annotations"] += 1
        return kept


def _line(task: Task) -> str:
    content = {
        "file": task.file,
        "sha256": task.sha256,
        "output_sha256": task.output_sha256,
        "recipe_id": task.recipe_id,
        "key": task.key,
        "width_px": task.width_px,
        "height_px": task.height_px,
    }
    return json.dumps(content) + "\n"
