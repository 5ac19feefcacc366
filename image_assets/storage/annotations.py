"""The store of annotations: immutable, numbered files, each what one import brought; the newest of a project counts."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from image_assets.core.annotation_facts import FACT_COLUMNS, AnnotationFacts, facts_of, joined_facts
from image_assets.core.annotation_rows import image_of_row
from image_assets.core.annotations import AnnotatedImage
from image_assets.core.errors import CommitConflictError
from image_assets.core.forgetting import forgotten_mark
from image_assets.core.hashes import packed_hashes
from image_assets.core.heads import FORMAT_VERSION
from image_assets.storage import layout
from image_assets.storage.annotation_files import (
    AnnotationsHead,
    annotation_numbers,
    chosen_rows,
    iter_annotation_rows,
    newest_annotations_head,
    read_annotations_head,
    stage_images,
    staged_annotations,
)
from image_assets.storage.forgotten import file_sha256, forgotten_marks
from image_assets.storage.locks import in_use
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import naming_damage

# With more files than this each import would read too many: they become one.
_MOST_FILES = 32
_TRIES = 20


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought: how many images say something else now, the same as before, or were forgotten.

    ``number`` is that of its file, None where nothing changed. ``silenced`` of the changed ones say nothing any more.
    """

    number: int | None
    changed: int
    unchanged: int
    forgotten: int
    silenced: int


@dataclass(frozen=True, slots=True)
class Current:
    """What counts now; ``newest`` is the number of the newest file, those up to ``covers`` count no more."""

    facts: AnnotationFacts
    newest: int
    covers: int


def append_annotations(store: Store, images: Iterable[AnnotatedImage], *, imported_at: str) -> ImportReport:
    """Keep what a platform says of some images; it takes the place of what the same project said of them before.

    What is there already is left out, so an export of everything adds what changed. Of an image that comes twice the
    last one counts. Forgotten images are not taken. Another import at the same time waits for its turn: one is first.

    Args:
        imported_at: the time, ISO 8601.

    Raises:
        StoreError: a file is damaged or the store cannot be written.
    """
    with in_use(store), scratch_folder() as folder:
        staged = folder / "all.parquet"
        stage_images(staged, images)
        for _ in range(_TRIES):
            report = _try_append(store, staged, imported_at)
            if report is not None:
                _compact_many(store, imported_at)
                return report
    raise CommitConflictError(f"{_TRIES} other imports of annotations came first in {store.url}; import again")


def annotation_state(store: Store) -> str:
    """Return one word for all annotations of a store, empty where there are none; it costs a list and a head.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    head = newest_annotations_head(store)
    return head.state if head else ""


def read_current(store: Store) -> Current:
    """Return what counts now, and where it stands.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    head = newest_annotations_head(store)
    if head is None:
        return Current(joined_facts([]), 0, 0)
    numbers = [number for number in annotation_numbers(store) if head.covers < number <= head.number]
    return Current(_facts(store, numbers, frozenset()).newest(), head.number, head.covers)


def annotated_contents(store: Store, contents: frozenset[str]) -> frozenset[str]:
    """Return which of some images any file has a row of, also one that counts no more.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    found: set[str] = set()
    for number in annotation_numbers(store) if contents else ():
        for rows in iter_annotation_rows(store, number, columns=["sha256"]):
            found.update(contents.intersection(rows["sha256"].to_pylist()))
    return frozenset(found)


def iter_annotations(store: Store) -> Iterator[AnnotatedImage]:
    """Yield what each project says of each image now, a few megabytes in memory at a time, in no order that matters.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    for number, rows in iter_current_rows(store, read_current(store)):
        with naming_damage(layout.annotations(number)):
            yield from (image_of_row(row) for row in rows.to_pylist())


def iter_current_rows(store: Store, current: Current) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows (ANNOTATION_ROWS) of what counts and says anything, a few megabytes at a time, with their file.

    Raises:
        StoreError: a file is damaged.
    """
    facts = current.facts
    for number in np.unique(facts.files).tolist():
        wanted = np.sort(facts.rows[(facts.files == number) & facts.speaks])
        first = 0
        for rows in iter_annotation_rows(store, number):
            start, end = np.searchsorted(wanted, (first, first + rows.num_rows))
            if end > start:
                yield number, rows.take(pa.array(wanted[start:end] - first))
            first += rows.num_rows


def compact_annotations(store: Store, *, imported_at: str) -> bool:
    """Put all that counts into one file; return whether there was anything to put together.

    The files that it covers count no more; clean-up removes them.

    Raises:
        CommitConflictError: another import came first.
        StoreError: a file is damaged or the store cannot be written.
    """
    current = read_current(store)
    if current.newest - current.covers <= 1:
        return False
    state, labels = current.facts.words()
    number, rows = current.newest + 1, int(current.facts.speaks.sum())
    head = AnnotationsHead(number, imported_at, rows, current.newest, state, labels)
    with staged_annotations(head, (rows for _, rows in iter_current_rows(store, current))) as staged:
        if not store.put_if_absent(layout.annotations(number), staged):
            raise CommitConflictError(f"another import of annotations came first in {store.url}")
    return True


def drop_annotations(store: Store, number: int, contents: frozenset[str]) -> None:
    """Write a file of annotations without those of some images: for forgetting alone, else files never change.

    Its head says what will count when they are out of all files.

    Raises:
        StoreError: a file is damaged or the store cannot be written.
    """
    path = layout.annotations(number)
    head = read_annotations_head(store, number)
    numbers = [each for each in annotation_numbers(store) if head.covers < each <= number]
    state, labels = _facts(store, numbers, contents).newest().words()
    kept = sum(_without(rows, contents).num_rows for rows in iter_annotation_rows(store, number, columns=["sha256"]))
    after = replace(head, rows=kept, state=state, labels=labels, format_version=FORMAT_VERSION)
    others = (_without(rows, contents) for rows in iter_annotation_rows(store, number))
    with staged_annotations(after, others) as staged:
        store.put(path, staged)


def _try_append(store: Store, staged: Path, imported_at: str) -> ImportReport | None:
    """Write what is new of some staged rows as the next file; None when another import took its number."""
    current = read_current(store)
    number = current.newest + 1
    rows = pq.read_table(staged, columns=FACT_COLUMNS)
    # It counts as newer than all that is there.
    rows = rows.set_column(
        rows.schema.get_field_index("imported"), "imported", pa.array([number] * len(rows), pa.int32())
    )
    facts, marks = facts_of(rows, number), forgotten_marks(store)
    is_forgotten = np.array([forgotten_mark(sha256) in marks for sha256 in rows["sha256"].to_pylist()], bool)
    mine = facts.taken(np.flatnonzero(~is_forgotten)).newest()
    new = mine.taken(np.flatnonzero(mine.changed_from(current.facts)))
    report = ImportReport(
        number=number if len(new.rows) else None,
        changed=len(new.rows),
        unchanged=len(mine.rows) - len(new.rows),
        forgotten=int(is_forgotten.sum()),
        silenced=int(np.sum(~new.speaks)),
    )
    if report.number is None:
        return report
    state, labels = joined_facts([current.facts, new]).newest().words()
    head = AnnotationsHead(number, imported_at, report.changed, current.covers, state, labels)
    with staged_annotations(head, chosen_rows(staged, np.sort(new.rows), number)) as path:
        # A store that answered late may have taken a first try: then what is there is ours.
        if store.put_if_absent(layout.annotations(number), path) or _is_there(store, number, path):
            return report
    return None


def _is_there(store: Store, number: int, staged: Path) -> bool:
    return file_sha256(store, layout.annotations(number)) == hashlib.sha256(staged.read_bytes()).hexdigest()


def _compact_many(store: Store, imported_at: str) -> None:
    head = newest_annotations_head(store)
    if head is not None and head.number - head.covers > _MOST_FILES:
        # Where another import came first, its own end looks again.
        with suppress(CommitConflictError):
            compact_annotations(store, imported_at=imported_at)


def _facts(store: Store, numbers: list[int], without: frozenset[str]) -> AnnotationFacts:
    parts = []
    for number in numbers:
        first = 0
        for rows in iter_annotation_rows(store, number, columns=FACT_COLUMNS):
            facts = facts_of(rows, number, first)
            if without:
                facts = facts.taken(np.flatnonzero(~np.isin(facts.hashes, packed_hashes(sorted(without)))))
            parts.append(facts)
            first += rows.num_rows
    return joined_facts(parts)


def _without(rows: pa.Table, contents: frozenset[str]) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows["sha256"], value_set=pa.array(sorted(contents), pa.string()))))
