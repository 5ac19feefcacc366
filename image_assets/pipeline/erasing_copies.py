"""Taking images out of what was made from a dataset: exports, log lines, what killed processes left behind."""

import fcntl
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import CommitConflictError
from image_assets.core.index import output_id
from image_assets.formats.publishing import published_whole
from image_assets.pipeline.erasing import Target
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.annotation_files import annotation_numbers, iter_annotation_rows
from image_assets.storage.annotations import annotated_contents, drop_annotations
from image_assets.storage.forgotten import Journal
from image_assets.storage.scratch import dead_scratch_folders
from image_assets.storage.splits import newest_whole_pins, pin_numbers, read_pins, replace_pins
from image_assets.storage.store import Store
from image_assets.storage.trash import find_files, remove_empty_folders, remove_files

_TRIES = 20
_RECORD = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ([a-z][a-z0-9_]*) ")


def remove_exports(store: Store, journal: Journal) -> None:
    """Remove every file in ``exports/``; those that are wanted are written again from what stays.

    Raises:
        StoreError: one cannot be removed.
    """
    _remove_below(store, layout.EXPORTS, journal)
    # Folders of plain files are named by the first digits of their hashes.
    remove_empty_folders(store)


def remove_listings(store: Store, journal: Journal) -> None:
    """Remove every snapshot of the source and every part of one; the sensor lists the source again.

    Raises:
        StoreError: one cannot be removed.
    """
    _remove_below(store, layout.LISTINGS, journal)


def erase_annotations(store: Store, contents: frozenset[str], journal: Journal) -> int:
    """Take what was said of some images out of every file of annotations, and return how many had something.

    Raises:
        StoreError: a file is damaged or cannot be written.
    """
    if not annotated_contents(store, contents):
        return 0
    touched = 0
    # The newest first: its head says what counts, also when this is killed before it comes to the others.
    numbers = sorted(annotation_numbers(store), reverse=True)
    for number in numbers:
        pieces = iter_annotation_rows(store, number, columns=["sha256"])
        rows = sum(pc.sum(pc.is_in(piece["sha256"], pa.array(sorted(contents)))).as_py() or 0 for piece in pieces)
        if rows or number == numbers[0]:
            journal.note(layout.annotations(number), rows=rows)
            drop_annotations(store, number, contents)
            touched += 1
    return touched


def erase_pins(store: Store, target: Target, journal: Journal) -> None:
    """Take the images out of what says which content is in which split.

    Raises:
        StoreError: a file is damaged or cannot be written.
        CommitConflictError: runs keep noting splits.
    """
    contents = np.array([bytes.fromhex(sha256[:32]) for sha256 in target.sha256s], "S16")
    ids = np.array([bytes.fromhex(output_id(key, 0)) for key in target.keys], "S16")
    for _ in range(_TRIES):
        newest, pins = read_pins(store)
        keep = ~(np.isin(pins.contents, contents) | np.isin(pins.ids, ids))
        if keep.all() or replace_pins(store, newest, pins.kept(keep)):
            break
    else:
        raise CommitConflictError(f"other runs noted splits first, {_TRIES} times; end them and forget again")
    # Also when an earlier call was killed here: what is not read any more may still name the images.
    whole = newest_whole_pins(store)
    for path in [layout.split_pins(number) for number in pin_numbers(store) if number < whole]:
        journal.note(path)
        store.delete(path)


def remove_following(store: Store, journal: Journal) -> None:
    """Remove what is made of the newest index; it is made again from what stays.

    Raises:
        StoreError: a file cannot be removed.
    """
    for path in filter(store.exists, layout.FOLLOWING):
        journal.note(path)
        store.delete(path)
    _remove_below(store, layout.SIMILARITY, journal)


def _remove_below(store: Store, folder: str, journal: Journal) -> None:
    files = list(store.list(folder))
    for file in files:
        # The name of an image, and its hash, would be a trace of it; the table of all of them is noted.
        if not layout.is_exported_image(file.path):
            journal.note(file.path)
    remove_files(store, files)


def erase_log_lines(settings: Settings, keys: Iterable[str], journal: Journal) -> None:
    """Drop what the pipeline logged of some keys.

    The log of an object store lies outside of it, in ``./logs``, maybe with lines of other datasets; it is cleaned
    here, but not noted in the store.

    Raises:
        OSError: a log file cannot be written.
        StoreError: a note cannot be written.
    """
    store_folder = Store(settings.store).folder
    folder = (store_folder or Path.cwd()) / layout.LOGS
    if not folder.is_dir():
        return
    # As the log writes them.
    needles = [repr(key).encode("utf-8", "backslashreplace") for key in sorted(keys)]
    # Runs rotate the files under this lock.
    with (folder / ".rotate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left_behind in folder.glob(".image-assets-*.part"):
            left_behind.unlink()
        for path in sorted(path for path in folder.iterdir() if layout.is_pipeline_log(path.name)):
            lines = sum(1 for _ in path.open("rb"))
            gone = lines - sum(1 for _ in _other_lines(path, settings.name, needles))
            if gone:
                if store_folder is not None:
                    journal.note(path.relative_to(store_folder).as_posix(), rows=gone)
                with published_whole(path) as part, part.open("wb") as file:
                    file.writelines(_other_lines(path, settings.name, needles))


def remove_leftovers(store: Store) -> None:
    """Remove what killed processes left behind, which may hold anything: staged files, and scratch folders.

    Raises:
        StoreError: a file cannot be removed.
        OSError: a folder cannot be removed.
    """
    remove_files(store, find_files(store).staging)
    for folder in dead_scratch_folders():
        shutil.rmtree(folder)


def _other_lines(path: Path, dataset: str, needles: list[bytes]) -> Iterator[bytes]:
    """Yield the lines of the records that name none of the keys; a record may go over several lines."""
    about_them = False
    with path.open("rb") as file:
        for line in file:
            if record := _RECORD.match(line):
                about_them = record[1].decode() == dataset and any(needle in line for needle in needles)
            if not about_them:
                yield line
