"""The store of annotations: what counts after any imports, two at once, compaction, and damage."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_assets.core.annotations import AnnotatedImage, Annotation
from image_assets.core.errors import AnnotationError, StoreError
from image_assets.core.forgetting import forgotten_mark
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask, mask_from_bits, mask_from_counts
from image_assets.storage import annotation_files, annotations, layout
from image_assets.storage.annotation_files import annotation_numbers, newest_annotations_head
from image_assets.storage.annotations import (
    annotation_state,
    append_annotations,
    compact_annotations,
    drop_annotations,
    iter_annotations,
    read_current,
)
from image_assets.storage.forgotten import create_receipt
from image_assets.storage.store import Store

NOW = "2026-11-21T10:00:00+00:00"
BITS = np.random.default_rng(0).random((30, 40)) < 0.3


def content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def image(number: int, *given: Any, project: str = "p", reviewed: bool = False) -> AnnotatedImage:
    """An image with annotations; a text stands for a class."""
    made = tuple(Annotation(each) if isinstance(each, str) else each for each in given)
    return AnnotatedImage(content(number), 40, 30, "cvat", project, made, reviewed=reviewed)


EVERYTHING = image(
    1,
    "cat",
    Annotation("cat", Box(1, 2.5, 30, 29), annotator="Åsa", made_at=NOW),
    Annotation("dog", Polygon(((0, 0), (10, 0.25), (5, 8))), attributes='{"hidden":true}'),
    Annotation("sky", mask_from_bits(BITS), predicted=True, confidence=0.25),
    reviewed=True,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def now(store: Store) -> dict[tuple[str, str], AnnotatedImage]:
    return {(each.sha256, each.project): each for each in iter_annotations(store)}


def put(store: Store, *images: AnnotatedImage) -> annotations.ImportReport:
    return append_annotations(store, iter(images), imported_at=NOW)


def test_what_was_put_in_comes_out(store: Store) -> None:
    report = put(store, EVERYTHING, image(2, reviewed=True), image(3))
    assert (report.number, report.changed, report.unchanged) == (1, 2, 1)
    # The third says nothing, as it did before.
    assert now(store) == {(content(1), "p"): EVERYTHING, (content(2), "p"): image(2, reviewed=True)}


def test_an_import_adds_what_changed_and_an_equal_one_writes_nothing(store: Store) -> None:
    put(store, image(1, "cat"), image(2, "dog"))
    state = annotation_state(store)
    assert put(store, image(1, "cat"), image(2, "dog")) == annotations.ImportReport(None, 0, 2, 0, 0)
    assert (annotation_numbers(store), annotation_state(store)) == ([1], state)
    assert put(store, image(1, "cat"), image(2, "cow")).changed == 1
    assert annotation_state(store) != state
    put(store, image(2, "dog"))
    assert annotation_state(store) == state


def test_each_project_has_a_say_and_its_newest_counts(store: Store) -> None:
    put(store, image(1, "cat"), image(1, "hat", project="q"))
    put(store, image(1, "dog"))
    assert now(store) == {(content(1), "p"): image(1, "dog"), (content(1), "q"): image(1, "hat", project="q")}
    assert put(store, image(1)).silenced == 1
    assert list(now(store)) == [(content(1), "q")]


def test_of_an_image_that_comes_twice_the_last_counts(store: Store) -> None:
    report = put(store, image(1, "cat"), image(2, "cow"), image(1, "dog"))
    assert report.changed == 2
    assert now(store)[content(1), "p"] == image(1, "dog")


def test_an_empty_import_of_an_empty_store_is_nothing(store: Store) -> None:
    assert put(store) == annotations.ImportReport(None, 0, 0, 0, 0)
    assert annotation_state(store) == ""
    assert list(iter_annotations(store)) == []
    assert not compact_annotations(store, imported_at=NOW)


def test_of_two_imports_at_once_neither_is_lost(store: Store) -> None:
    def bring(first: int) -> None:
        for number in range(first, first + 6):
            put(store, image(number, "cat"))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(bring, (0, 10, 20)))
    assert len(now(store)) == 18
    head = newest_annotations_head(store)
    assert head is not None
    assert (head.state, head.labels) == read_current(store).facts.words()


def test_forgotten_images_are_not_taken_again(store: Store) -> None:
    create_receipt(store, {"format_version": 1, "marks": [forgotten_mark(content(1))]})
    assert put(store, image(1, "cat"), image(2, "cat")).forgotten == 1
    assert list(now(store)) == [(content(2), "p")]
    assert put(store, image(1, "cat")) == annotations.ImportReport(None, 0, 0, 1, 0)


def test_compaction_changes_what_nothing_and_covers_what_was(store: Store) -> None:
    put(store, EVERYTHING, image(2, "dog"), image(4, "cow"))
    put(store, image(2, "cat"), image(3, reviewed=True))
    put(store, image(4))
    before, state = now(store), annotation_state(store)
    assert compact_annotations(store, imported_at=NOW)
    assert not compact_annotations(store, imported_at=NOW)
    for number in (1, 2, 3):
        store.delete(layout.annotations(number))
    assert (now(store), annotation_state(store)) == (before, state)
    # What says nothing any more did not come back, and an import goes on from there.
    assert put(store, image(4)).changed == 0
    assert put(store, image(4, "cow")).number == 5


def test_many_small_imports_become_one_by_themselves(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations, "_MOST_FILES", 4)
    for number in range(12):
        put(store, image(number, "cat"))
    head = newest_annotations_head(store)
    assert head is not None
    assert head.number - head.covers <= 5
    assert len(now(store)) == 12


def test_dropping_leaves_the_rest_and_the_words_of_the_rest(store: Store, tmp_path: Path) -> None:
    put(store, image(1, "cat"), image(2, "cat"))
    put(store, image(1, "dog"), image(3, "cat"))
    for number in (2, 1):
        drop_annotations(store, number, frozenset({content(1)}))
    other = Store(str(tmp_path / "other"))
    put(other, image(3, "cat"), image(2, "cat"))
    assert (now(store), annotation_state(store)) == (now(other), annotation_state(other))
    head = newest_annotations_head(store)
    assert head is not None
    assert head.rows == 1
    drop_annotations(store, 2, frozenset({content(3)}))
    assert list(now(store)) == [(content(2), "p")]


def test_a_large_import_is_written_and_read_in_small_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation_files, "_GROUP_ROWS", 3)
    many = [image(number, "cat", Annotation("a", mask_from_bits(BITS))) for number in range(20)]
    put(store, *many)
    assert max(rows.num_rows for rows in annotation_files.iter_annotation_rows(store, 1)) == 3
    put(store, *(image(number, "dog") for number in range(0, 20, 7)))
    assert sorted(now(store).values(), key=lambda each: each.sha256) == sorted(
        (image(n, "dog") if n % 7 == 0 else many[n] for n in range(20)), key=lambda each: each.sha256
    )


def test_damage_is_said_with_the_name_of_the_file(store: Store) -> None:
    put(store, image(1, "cat"))
    data = bytearray(store.get(layout.annotations(1)).to_pybytes())
    data[40:120] = bytes(80)
    store.put(layout.annotations(1), bytes(data))
    with pytest.raises(StoreError, match=r"annotations/00000001\.parquet is damaged"):
        list(iter_annotations(store))


ANY = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("pq"), st.sampled_from(["", "cat", "dog"])), max_size=4),
    max_size=5,
)


@settings(max_examples=15, deadline=None)
@given(imports=ANY, compact_after=st.sets(st.integers(0, 4)))
def test_any_imports_and_compactions_lead_to_the_newest_of_each(
    imports: list[list[tuple[int, str, str]]], compact_after: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store, expected = Store(str(tmp_path_factory.mktemp("any"))), {}
    for at, rows in enumerate(imports):
        put(store, *(image(number, *([label] if label else []), project=project) for number, project, label in rows))
        for number, project, label in rows:
            expected[content(number), project] = image(number, *([label] if label else []), project=project)
        if at in compact_after:
            compact_annotations(store, imported_at=NOW)
    assert now(store) == {key: each for key, each in expected.items() if each.annotations}


BAD: dict[str, Any] = {
    "no label": lambda: Annotation(""),
    "half a surrogate pair": lambda: Annotation("\ud800"),
    "a confidence of a person": lambda: Annotation("a", confidence=0.5),
    "a confidence of 2": lambda: Annotation("a", predicted=True, confidence=2),
    "no time": lambda: Annotation("a", made_at="yesterday"),
    "a flat box": lambda: Box(1, 1, 1, 5),
    "a box without end": lambda: Box(0, 0, float("inf"), 5),
    "two points": lambda: Polygon(((0, 0), (1, 1))),
    "a point nowhere": lambda: Polygon(((0, 0), (1, 1), (float("nan"), 2))),
    "no hash": lambda: AnnotatedImage("abc", 4, 4, "cvat", "p"),
    "capital letters": lambda: AnnotatedImage(content(1).upper(), 4, 4, "cvat", "p"),
    "a mask of another size": lambda: image(1, Annotation("a", mask_from_bits(BITS[:10]))),
    "too many": lambda: image(1, *["a"] * 10_001),
    "a mask of other runs": lambda: mask_from_counts(4, 4, np.array([3, 4])),
    "negative runs": lambda: mask_from_counts(2, 2, np.array([5, -1])),
    "no mask": lambda: Mask(2, 2, "hello\n"),
    "an empty mask text": lambda: Mask(2, 2, ""),
    "a giant mask": lambda: Mask(100_000, 100_000, "0"),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_is_refused_in_one_line(make: Any) -> None:
    with pytest.raises(AnnotationError) as refused:
        make()
    assert "\n" not in str(refused.value)


def test_every_kind_of_store_keeps_them(either: Store) -> None:
    put(either, EVERYTHING, image(2, "dog"))
    put(either, image(2, "cat"), image(3, "cow"))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda number: put(either, image(number, "two at once")), (10, 11)))
    assert compact_annotations(either, imported_at=NOW)
    for number in annotation_numbers(either):
        drop_annotations(either, number, frozenset({content(2)}))
    assert sorted(sha256 for sha256, _ in now(either)) == sorted(map(content, (1, 3, 10, 11)))
