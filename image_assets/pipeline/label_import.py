"""Labels that come back from a platform: by content to the images of the dataset, in pixels of their originals."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from image_assets.core.annotations import AnnotatedImage, Annotation, Geometry
from image_assets.core.errors import AnnotationError, ConfigError
from image_assets.core.masks import Mask
from image_assets.core.placement import Placement
from image_assets.labelling import find_platform
from image_assets.labelling.base import Problem, Task, short
from image_assets.pipeline.label_images import facts_of_row, with_placing
from image_assets.pipeline.label_lookup import MeantImages, meant_hashes
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.settings import Settings
from image_assets.storage.annotations import ImportReport, append_annotations
from image_assets.storage.identity import open_made_store
from image_assets.storage.labelling import ExportRecord, read_export_records
from image_assets.storage.scratch import scratch_folder
from image_assets.transforms.placing import Placer

# So many of a kind are written out in a message.
_MOST_SHOWN = 3
_MOST_LABELS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class LabelImport:
    """What to import: from which platform and project, which file.

    ``labels`` are those that may come back, none: those that were offered. ``skip_problems``: leave out the tasks that
    cannot be taken, instead of taking none.
    """

    platform: str
    project: str
    file: Path
    labels: tuple[str, ...] = ()
    skip_problems: bool = False


@dataclass(frozen=True, slots=True)
class LabelImportReport:
    """What came back.

    Args:
        tasks: in the file.
        kept: what the store of annotations made of them.
        untouched: nobody looked at them, or nobody changed what a model had said.
        unknown: their content is not in the dataset (any more); they are left out.
        unknown_names: some of them.
        left_out: what no annotation can hold, by kind.
        problems: tasks that cannot be taken, left out on request.
    """

    tasks: int
    kept: ImportReport
    untouched: int
    unknown: int
    unknown_names: tuple[str, ...]
    left_out: dict[str, int]
    problems: tuple[str, ...]


def import_labels(settings: Settings, wanted: LabelImport, *, imported_at: str) -> LabelImportReport:
    """Append what a platform exported to the store of annotations; the same file again changes nothing.

    It is read twice: first to see which images are meant, then to take what is said of them. Nothing is taken before
    all of it was understood.

    Args:
        imported_at: the time, ISO 8601.

    Raises:
        ConfigError: the platform does not exist, or nothing says which labels there may be.
        AnnotationError: the file is damaged, or a task cannot be taken and ``skip_problems`` is off.
        DatasetError: nothing was published yet.
        StoreError: the store does not answer or is damaged.
        OSError: the file cannot be read.
    """
    platform, store = find_platform(wanted.platform), open_made_store(settings)
    if not wanted.file.exists():
        raise ConfigError(f"{wanted.file} does not exist; name the file that {wanted.platform} exported")
    records = read_export_records(store)
    labels = _allowed(wanted, records)
    with scratch_folder() as first, scratch_folder() as second, open_dataset(settings.store) as dataset:
        meant = meant_hashes(platform.read(wanted.file, first, wanted.project))
        coming = _Coming(settings, wanted, MeantImages.find(dataset, meant), labels, _recipes(settings, records))
        kept = append_annotations(
            store, coming.images(platform.read(wanted.file, second, wanted.project)), imported_at=imported_at
        )
    return LabelImportReport(
        tasks=coming.counts["tasks"],
        kept=kept,
        untouched=coming.counts["untouched"],
        unknown=coming.counts["unknown"],
        unknown_names=tuple(coming.unknown),
        left_out=dict(sorted(coming.left_out.items())),
        problems=tuple(coming.problems),
    )


def _allowed(wanted: LabelImport, records: list[ExportRecord]) -> frozenset[str]:
    if wanted.labels:
        return frozenset(wanted.labels)
    mine = [each for each in records if (each.platform, each.project) == (wanted.platform, wanted.project)]
    if not mine:
        others = sorted({f"{each.project!r} ({each.platform})" for each in records})
        known = f"exported were {', '.join(others[:_MOST_LABELS_SHOWN])}" if others else "nothing was exported yet"
        raise ConfigError(
            f"nothing was exported to project {wanted.project!r} of {wanted.platform} ({known}); name the project with "
            "--project, or the labels that may come back with --labels"
        )
    return frozenset().union(*(each.labels for each in mine))


def _recipes(settings: Settings, records: list[ExportRecord]) -> dict[str, Settings]:
    """Return the settings that decide where pixels lie, by recipe."""
    found = {recipe_id_of(settings): settings}
    for record in records:
        try:
            found.setdefault(record.recipe_id, with_placing(settings, record.recipe))
        except ValidationError:
            # Of a setting that there is no more; its tasks say that they cannot be placed.
            continue
    return found


@dataclass(slots=True)
class _Coming:
    """The tasks of a file as they become annotations of originals."""

    settings: Settings
    wanted: LabelImport
    known: MeantImages
    labels: frozenset[str]
    recipes: dict[str, Settings]
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    placers: dict[str, Placer] = field(default_factory=dict)

    def images(self, tasks: Iterator[Task | Problem]) -> Iterator[AnnotatedImage]:
        """Yield what is said of each image of the dataset.

        Raises:
            AnnotationError: tasks cannot be taken, and they are not to be left out.
        """
        for task in tasks:
            self.counts["tasks"] += 1
            try:
                image = self._image(task)
            except AnnotationError as error:
                self.counts["problems"] += 1
                if len(self.problems) < _MOST_SHOWN:
                    self.problems.append(str(error))
                continue
            if image is not None:
                yield image
        # Only now: of a file with several problems all are counted, and nothing of it was kept.
        if self.problems and not self.wanted.skip_problems:
            raise AnnotationError(
                f"{self.counts['problems']} of {self.counts['tasks']} tasks cannot be taken, so nothing was imported "
                f"(--skip-problems leaves them out): {'; '.join(self.problems)}"
            )

    def _image(self, task: Task | Problem) -> AnnotatedImage | None:
        """Return what a task says of its image, None when the dataset has no such image."""
        if isinstance(task, Problem):
            raise AnnotationError(task.text)
        row = self.known.row(task)
        if row is None:
            self.counts["unknown"] += 1
            if len(self.unknown) < _MOST_SHOWN:
                self.unknown.append(task.name)
            return None
        try:
            placement = self._placer(task.recipe_id).placement(facts_of_row(row), row["sha256"], 0)
            _refuse_other_size(task, placement)
            annotations = tuple(self._annotation(each, placement) for each in task.annotations)
            self.left_out.update(task.left_out)
            if not task.reviewed:
                self.counts["untouched"] += 1
                annotations = ()
            size_px = placement.original_px
            names = (self.wanted.platform, self.wanted.project)
            return AnnotatedImage(row["sha256"], *size_px, *names, annotations, reviewed=task.reviewed)
        except AnnotationError as error:
            raise AnnotationError(f"{task.where}: {error}") from error

    def _placer(self, recipe_id: str) -> Placer:
        if recipe_id not in self.recipes:
            raise AnnotationError(
                f"its image was made with recipe {recipe_id}, of which this store knows no export, so places in it "
                "mean nothing here"
            )
        if recipe_id not in self.placers:
            self.placers[recipe_id] = Placer(self.recipes[recipe_id])
        return self.placers[recipe_id]

    def _annotation(self, annotation: Annotation, placement: Placement) -> Annotation:
        if annotation.label not in self.labels:
            shown = sorted(self.labels)
            more = f" and {len(shown) - _MOST_LABELS_SHOWN} more" if len(shown) > _MOST_LABELS_SHOWN else ""
            raise AnnotationError(
                f"label {short(annotation.label)} was not offered; offered were "
                f"{', '.join(map(short, shown[:_MOST_LABELS_SHOWN]))}{more}; --labels names others"
            )
        if annotation.geometry is None:
            return annotation
        geometry: Geometry = placement.place_back(annotation.geometry)
        if geometry is None:
            width_px, height_px = placement.output_px
            raise AnnotationError(
                f"a {annotation.kind} with label {short(annotation.label)} lies outside of the image of {width_px} x "
                f"{height_px} pixels"
            )
        return replace(annotation, geometry=geometry)


def _refuse_other_size(task: Task, placement: Placement) -> None:
    """Accept a task whose places are of the image that was sent."""
    masks = [each.geometry for each in task.annotations if isinstance(each.geometry, Mask)]
    sizes = {(mask.width_px, mask.height_px) for mask in masks}
    # What Labelbox imports does not say how large the image is.
    if task.width_px:
        sizes.add((task.width_px, task.height_px))
    for width_px, height_px in sizes - {placement.output_px}:
        sent = f"{placement.output_px[0]} x {placement.output_px[1]}"
        raise AnnotationError(f"its places are of an image of {width_px} x {height_px} pixels, and {sent} were sent")
