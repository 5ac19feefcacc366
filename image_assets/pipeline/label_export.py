"""Images on their way to a labelling platform: each content once, with what is said of it so far."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.labelling import find_platform
from image_assets.labelling.base import IMAGES, Platform, Project
from image_assets.labelling.spool import Spool
from image_assets.pipeline.hash_sets import HashSet
from image_assets.pipeline.label_images import Contents, first_rows
from image_assets.pipeline.label_tasks import TASKS, Batch, Said, told_labels
from image_assets.pipeline.reading import Dataset, open_dataset
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.settings import Settings
from image_assets.storage.annotations import iter_annotations
from image_assets.storage.identity import open_made_store
from image_assets.storage.labelling import keep_export_record
from image_assets.storage.locks import in_use
from image_assets.storage.scratch import scratch_folder

Only = Literal["unlabelled", "all"]


@dataclass(frozen=True, slots=True)
class LabelExport:
    """What to export: for which platform and project, where to, and which images.

    ``labels`` are those to be offered, none: those that the dataset has. ``predictions``: send what models say as well.
    ``url`` goes before ``images/NAME.jpg`` where the platform fetches images itself.
    """

    platform: str
    project: str
    out: Path
    only: Only = "unlabelled"
    labels: tuple[str, ...] = ()
    predictions: bool = False
    url: str = ""

    @property
    def folder(self) -> Path:
        """Where the batches of this project lie."""
        if re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,39}", self.project):
            return self.out / self.platform / self.project
        # Any text is the name of a project somewhere; of a folder it is not everywhere.
        slug = re.sub(r"[^a-z0-9]+", "_", self.project.lower()).strip("_")[:40] or "project"
        digest = blake2b(self.project.encode(errors="replace"), digest_size=4).hexdigest()
        return self.out / self.platform / f"{slug}-{digest}"


@dataclass(frozen=True, slots=True)
class LabelExportReport:
    """What was written: the batch's folder (None when there was nothing new), how many images.

    ``sent_before`` images of this project were in earlier batches; ``left_out`` counts annotations by why.
    """

    folder: Path | None
    exported: int
    sent_before: int
    annotations: int
    predictions: int
    labels: tuple[str, ...]
    left_out: dict[str, int]


def export_for_labelling(settings: Settings, wanted: LabelExport) -> LabelExportReport:
    """Write the images that this project was not sent yet as its next batch; nothing new: nothing is written.

    Killed anywhere, the next export writes that batch anew.

    Raises:
        ConfigError: the platform does not exist or has no predictions, the settings are not those of the last run, or
            there are no labels to offer.
        DatasetError: nothing was published yet, or another export is under way.
        AnnotationError: a label cannot be written in the platform's format.
        StoreError: the store does not answer or is damaged.
        OSError: a file cannot be written.
    """
    platform = find_platform(wanted.platform)
    if wanted.predictions and not platform.predictions:
        raise ConfigError(
            f"{wanted.platform} does not tell what a model said from what a person said, so predictions would come "
            "back as labels; use cvat, label-studio or labelbox"
        )
    store = open_made_store(settings)
    with in_use(store), open_dataset(settings.store) as dataset, scratch_folder() as folder:
        if dataset.head.recipe_id != recipe_id_of(settings):
            raise ConfigError("the settings are not those that the newest images were made with; run the dataset first")
        with _alone(wanted.folder), Spool(folder) as spool:
            sent = _sent(wanted.folder)
            said = Said.gather(spool, iter_annotations(store))
            contents = _chosen(dataset, wanted.only, sent, said)
            told = told_labels(store, dataset) if wanted.predictions else None
            batch, final = Batch(settings, dataset, contents, said, wanted.labels, told), None
            if len(contents.hashes):
                # Before the batch: whatever was sent can be read when it comes back.
                keep_export_record(store, batch.record(wanted.platform, wanted.project))
                final = _write_batch(batch, wanted, platform)
    return LabelExportReport(
        folder=final,
        exported=batch.counts["tasks"],
        sent_before=len(sent),
        annotations=batch.counts["annotations"],
        predictions=batch.counts["predictions"],
        labels=batch.labels,
        left_out=dict(sorted(batch.left_out.items())),
    )


def _write_batch(batch: Batch, wanted: LabelExport, platform: Platform) -> Path:
    """Write a batch aside, and give it its name when it is whole."""
    final = wanted.folder / f"batch-{max(_batches(wanted.folder), default=0) + 1:04d}"
    staged = wanted.folder / f".{final.name}.part"
    shutil.rmtree(staged, ignore_errors=True)
    (staged / IMAGES).mkdir(parents=True)
    project = Project(wanted.project, batch.labels, len(batch.contents.hashes), wanted.url)
    platform.write(batch.tasks(staged, platform), staged, project)
    staged.rename(final)
    return final


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other exports of this project away; the kernel holds the lock, so a dead process has none.

    Raises:
        DatasetError: one is under way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatasetError(f"another export writes to {folder}; wait until it has ended") from error
        yield
    finally:
        os.close(handle)


def _batches(folder: Path) -> list[int]:
    found = (re.fullmatch(r"batch-(\d+)", path.name) for path in folder.glob("batch-*"))
    return [int(match[1]) for match in found if match]


def _sent(folder: Path) -> HashSet:
    """Return the contents of the batches that are there."""
    sent = HashSet()
    for number in sorted(_batches(folder)):
        path = folder / f"batch-{number:04d}" / TASKS
        try:
            with path.open(encoding="utf-8") as lines:
                sent.add(json.loads(line)["sha256"] for line in lines)
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{path}, which says what was sent, is missing or damaged ({type(error).__name__}); restore it, or "
                "move that folder away to send its images again"
            ) from error
    return sent


def _chosen(dataset: Dataset, only: Only, sent: HashSet, said: Said) -> Contents:
    """Return the contents to send."""
    hashes: list[bytes] = []
    for rows in first_rows(dataset, ["sha256", "label"], 4096):
        for sha256, label in zip(rows["sha256"].to_pylist(), rows["label"].to_pylist(), strict=True):
            labelled = only == "unlabelled" and (label is not None or sha256 in said.contents)
            if not labelled and sha256 not in sent:
                hashes.append(bytes.fromhex(sha256))
    return Contents(np.unique(np.frombuffer(b"".join(hashes), "S32")))
