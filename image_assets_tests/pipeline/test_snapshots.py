"""Snapshots of real and made-up datasets: found, compared, and read while newer ones are published."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from image_assets.core.errors import DatasetError
from image_assets.core.index import INDEX_SCHEMA, IndexHead
from image_assets.core.sharding import buckets_of
from image_assets.pipeline.differences import diff_snapshots, diff_summary
from image_assets.pipeline.reading import Dataset, open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.snapshots import find_snapshot, list_snapshots, snapshots_summary
from image_assets.settings import Settings
from image_assets.storage.indexes import iter_index, latest_index, publish_index, read_index_head, staged_index
from image_assets.storage.store import Store
from image_assets.storage.vectors import VectorHead, publish_vectors, staged_vectors, write_chunk
from image_assets_tests.datasets import PLAIN, Look, Picture, pictures, publish_dataset
from image_assets_tests.images import image_bytes, write_image, write_images

COUNT = 11
LISTS = ("added", "removed", "changed", "moved", "relabelled", "resplit")
NOTHING: dict[str, list[Any]] = {name: [] for name in LISTS}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Six images: a/0, a/2, a/4, b/1, b/3, b/5."""
    write_images(tmp_path / "raw", 6)
    return tmp_path / "raw"


@pytest.fixture
def url(tmp_path: Path) -> Path:
    publish_dataset(tmp_path / "store", pictures(COUNT))
    return tmp_path / "store"


def nothing(raw: Path) -> None:
    (raw / "a/0.jpg").touch()


def edit(raw: Path) -> None:
    write_image(raw, "a/0.jpg", 100)


def delete(raw: Path) -> None:
    (raw / "b/1.jpg").unlink()


def spoil(raw: Path) -> None:
    (raw / "b/1.jpg").write_bytes(image_bytes(1)[:50])


def copy(raw: Path) -> None:
    shutil.copy(raw / "a/0.jpg", raw / "b/copy.jpg")


def copy_over(raw: Path) -> None:
    shutil.copy(raw / "a/0.jpg", raw / "a/2.jpg")


def rename(raw: Path) -> None:
    (raw / "a/0.jpg").rename(raw / "a/new.jpg")


def rename_over(raw: Path) -> None:
    (raw / "a/0.jpg").rename(raw / "a/2.jpg")


def rename_to_another_label(raw: Path) -> None:
    (raw / "a/0.jpg").rename(raw / "b/0.jpg")


def rename_and_refill(raw: Path) -> None:
    rename(raw)
    edit(raw)


def rename_and_edit(raw: Path) -> None:
    rename(raw)
    write_image(raw, "a/new.jpg", 100)


def swap(raw: Path, one: str = "a/0.jpg", other: str = "a/2.jpg") -> None:
    (raw / one).rename(raw / "aside")
    (raw / other).rename(raw / one)
    (raw / "aside").rename(raw / other)


def swap_labels(raw: Path) -> None:
    swap(raw, "a/0.jpg", "b/1.jpg")


def move(old_key: str, new_key: str) -> dict[str, str]:
    return {"from": old_key, "to": new_key}


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (nothing, {}),
        (edit, {"changed": ["a/0.jpg"]}),
        (delete, {"removed": ["b/1.jpg"]}),
        (spoil, {"removed": ["b/1.jpg"]}),
        (copy, {"added": ["b/copy.jpg"]}),
        (copy_over, {"changed": ["a/2.jpg"]}),
        (rename, {"moved": [move("a/0.jpg", "a/new.jpg")]}),
        (rename_over, {"moved": [move("a/0.jpg", "a/2.jpg")]}),
        (
            rename_to_another_label,
            {"moved": [move("a/0.jpg", "b/0.jpg")], "relabelled": [{"key": "b/0.jpg", "from": "a", "to": "b"}]},
        ),
        (rename_and_refill, {"moved": [move("a/0.jpg", "a/new.jpg")], "changed": ["a/0.jpg"]}),
        # Nothing says that these are the same image.
        (rename_and_edit, {"removed": ["a/0.jpg"], "added": ["a/new.jpg"]}),
        (swap, {"moved": [move("a/2.jpg", "a/0.jpg"), move("a/0.jpg", "a/2.jpg")]}),
        (
            swap_labels,
            {
                "moved": [move("b/1.jpg", "a/0.jpg"), move("a/0.jpg", "b/1.jpg")],
                "relabelled": [{"key": "a/0.jpg", "from": "b", "to": "a"}, {"key": "b/1.jpg", "from": "a", "to": "b"}],
            },
        ),
    ],
)
def test_a_change_of_the_raw_images_is_the_difference(
    settings: Callable[..., Settings], raw: Path, change: Callable[[Path], None], difference: dict[str, list[Any]]
) -> None:
    options = settings(checks={"failed_fraction": {"error": 1.0}})
    run_dataset(options)
    change(raw)
    run_dataset(options)
    last = len(list_snapshots(Store(options.store)))
    assert diff_summary(options, 1, last) == {"from": 1, "to": last, **NOTHING, **difference}


def test_the_way_back_is_the_difference_turned_round(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings()
    run_dataset(options)
    copy(raw)
    rename_to_another_label(raw)
    run_dataset(options)
    assert diff_summary(options, 2, 1) == {
        "from": 2,
        "to": 1,
        **NOTHING,
        "removed": ["b/copy.jpg"],
        "moved": [move("b/0.jpg", "a/0.jpg")],
        "relabelled": [{"key": "a/0.jpg", "from": "b", "to": "a"}],
    }


def test_labels_of_a_file_change_alone(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings(labels={"kind": "file", "path": "labels.csv"})
    labels = raw.parent / "labels.csv"
    labels.write_text("filename,label\na/0.jpg,cat\na/2.jpg,cat\nb/1.jpg,\n")
    run_dataset(options)
    labels.write_text("filename,label\na/0.jpg,dog\na/4.jpg,dog\nb/1.jpg,\n")
    run_dataset(options)
    assert diff_summary(options, 1, 2)["relabelled"] == [
        {"key": "a/0.jpg", "from": "cat", "to": "dog"},
        {"key": "a/2.jpg", "from": "cat", "to": None},
        {"key": "a/4.jpg", "from": None, "to": "dog"},
    ]


@pytest.mark.parametrize(
    ("recipe", "changed"),
    [
        ({"image": {"width_px": 12}}, True),
        # The plain image stays, its variants are others.
        ({"augment": {"variants": 2}}, True),
        ({"num_shards": 8}, False),
    ],
)
def test_another_recipe_changes_every_image(
    settings: Callable[..., Settings], raw: Path, recipe: dict[str, Any], changed: bool
) -> None:
    run_dataset(settings(augment={"variants": 1}))
    run_dataset(settings(**{"augment": {"variants": 1}, **recipe}))
    keys = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.jpg"))
    summary = diff_summary(settings(), 1, 2)
    assert summary == {"from": 1, "to": 2, **NOTHING, "changed": keys if changed else []}


Images = dict[str, tuple[int, str | None]]
images = st.dictionaries(
    st.sampled_from([f"{folder}/{name}.jpg" for folder in "ab" for name in range(4)]),
    st.tuples(st.integers(0, 3), st.sampled_from([None, "", "cat", "dog"])),
)


@hypothesis_settings(max_examples=40, deadline=None)
@given(old=images, new=images, other_look=st.booleans())
def test_the_difference_is_that_of_dictionaries(
    tmp_path_factory: pytest.TempPathFactory, old: Images, new: Images, other_look: bool
) -> None:
    folder = tmp_path_factory.mktemp("store")
    publish_dataset(folder, [Picture(key, *image) for key, image in old.items()])
    look = Look(variants=1) if other_look else PLAIN
    store = publish_dataset(folder, [Picture(key, *image) for key, image in new.items()], look)
    assert differences(store, 1, 2) == modelled(old, new, other_look)
    shutil.rmtree(folder)


def test_large_snapshots_are_compared_range_by_range(tmp_path: Path) -> None:
    # 40,000 images are gone through in three ranges of buckets.
    old: Images = {f"{number}.jpg": (number, "cat") for number in range(40_000)}
    new = {key: image for key, image in old.items() if image[0] >= 50}
    new |= {f"new/{number}.jpg": (number, "cat") for number in range(30)}
    new |= {f"{number}.jpg": (-number, "cat") for number in range(500, 600)}
    new |= {f"{number}.jpg": (number, None) for number in range(600, 700)}
    store = Store(str(tmp_path))
    for state in (old, new):
        publish_plain_index(store, state)
    assert differences(store, 1, 2) == (
        set(),
        {f"{number}.jpg" for number in range(30, 50)},
        {f"{number}.jpg" for number in range(500, 600)},
        {f"{number}.jpg -> new/{number}.jpg" for number in range(30)},
        {f"{number}.jpg: 'cat' -> None" for number in range(600, 700)},
    )


def test_snapshots_are_listed_oldest_first(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings()
    assert snapshots_summary(options) == {"snapshots": []}
    run_dataset(options)
    spoil(raw)
    run_dataset(settings(num_shards=2, checks={"failed_fraction": {"error": 1.0}}))
    summary = snapshots_summary(options)["snapshots"]
    names = ("number", "rows", "num_shards", "images", "failed")
    assert [tuple(snapshot[name] for name in names) for snapshot in summary] == [(1, 6, 4, 6, 0), (2, 5, 2, 5, 1)]
    heads = list_snapshots(Store(options.store))
    for name in ("digest", "created_at", "recipe_id"):
        assert [snapshot[name] for snapshot in summary] == [getattr(head, name) for head in heads]


def test_a_snapshot_is_found_by_number_and_by_digest(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    # The third snapshot is the first again.
    first, second = "12345678" + "a" * 56, "b" * 64
    for digest in (first, second, first):
        publish_plain_index(store, {}, digest)
    numbers = {"1": 1, "00000002": 2, first: 3, first[:8]: 3, second.upper(): 2, second[:20]: 2}
    assert {text: find_snapshot(store, text) for text in numbers} == numbers
    assert [find_snapshot(store, number) for number in (1, 2, 3)] == [1, 2, 3]


def test_a_digest_is_not_guessed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for digest in ("abcdef01" + "2" * 56, "abcdef01" + "3" * 56):
        publish_plain_index(store, {}, digest)
    with pytest.raises(DatasetError) as error:
        find_snapshot(store, "abcdef01")
    assert str(error.value) == (
        "'abcdef01' begins the digests of several snapshots: 1 (abcdef0122222222), 2 (abcdef0133333333); "
        "give more digits"
    )
    assert find_snapshot(store, "abcdef013") == 2


@pytest.mark.parametrize(
    ("snapshot", "sentence"),
    [
        (9, "no snapshot 9 in {}; there are 1 (abcdef01)"),
        ("9", "no snapshot 9 in {}; there are 1 (abcdef01)"),
        ("abcdef02", "no snapshot with digest 'abcdef02' in {}; there are 1 (abcdef01)"),
        # Seven digits are too few, and two of these are no digits; the last one is no ASCII digit.
        ("abcdef0", "'abcdef0' is no snapshot: give a number, or 8 or more digits of a digest; there are 1 (abcdef01)"),
        ("-1", "'-1' is no snapshot: give a number, or 8 or more digits of a digest; there are 1 (abcdef01)"),
        ("", "'' is no snapshot: give a number, or 8 or more digits of a digest; there are 1 (abcdef01)"),
        ("٣", "'٣' is no snapshot: give a number, or 8 or more digits of a digest; there are 1 (abcdef01)"),
    ],
)
def test_an_unknown_snapshot_is_refused_naming_what_there_is(
    tmp_path: Path, snapshot: int | str, sentence: str
) -> None:
    store = Store(str(tmp_path))
    publish_plain_index(store, {}, "abcdef01" + "2" * 56)
    for look in (lambda: find_snapshot(store, snapshot), lambda: diff_snapshots(store, 1, snapshot)):
        with pytest.raises(DatasetError) as error:
            look()
        assert str(error.value) == sentence.format(store.url)


def test_of_many_snapshots_the_newest_are_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for number in range(12):
        publish_plain_index(store, {}, f"{number:08x}" * 8)
    with pytest.raises(
        DatasetError, match=r"no snapshot 99 in .*; of 12, the newest are 5 \(00000004\), 6 .* 12 \(0{7}b\)$"
    ):
        find_snapshot(store, 99)


def test_a_pinned_dataset_stays_the_same_while_newer_runs_publish(settings: Callable[..., Settings], raw: Path) -> None:
    options = settings(features={"extractor": "colour-moments"}, exports=["csv"])
    run_dataset(options)
    with open_dataset(options.store) as read_before, open_dataset(options.store) as only_opened:
        first = everything_of(read_before)
        for change in (swap_labels, edit, delete):
            change(raw)
            run_dataset(options)
            assert everything_of(read_before) == first
        assert everything_of(only_opened) == first
    with open_dataset(options.store, snapshot=1) as opened_later:
        assert everything_of(opened_later) == first
    with open_dataset(options.store) as newest:
        assert (newest.head.number, len(newest), newest.has_vectors) == (4, 5, True)
        assert everything_of(newest) != first


def test_without_a_vector_of_each_image_the_error_says_where_there_are_some(url: Path) -> None:
    publish_kept_vectors(Store(str(url)))
    store = publish_dataset(url, pictures(COUNT + 2))
    with open_dataset(url) as dataset:
        assert not dataset.has_vectors
        for read in (dataset.vectors, lambda: dataset.vector(0)):
            sentence = r"2 of 13 images of snapshot 2 have no vector by made-up in .*; run again, or open snapshot 1"
            with pytest.raises(DatasetError, match=sentence):
                read()
        vectors = publish_kept_vectors(store)
        assert dataset.has_vectors
        np.testing.assert_array_equal(dataset.vectors(), vectors)


@pytest.mark.parametrize("dim", [5, 2**20])  # of the larger ones, eight are gathered together
def test_vectors_of_an_earlier_snapshot_are_gathered(url: Path, dim: int) -> None:
    vectors = publish_kept_vectors(Store(str(url)), dim=dim)
    publish_kept_vectors(publish_dataset(url, pictures(3)), dim=dim)
    with open_dataset(url, snapshot=1) as dataset:
        assert dataset.has_vectors
        assert dataset.vector(0).dtype == np.float32
        np.testing.assert_array_equal(dataset.vectors(), vectors)
        for row in (0, 3, -1):
            np.testing.assert_array_equal(dataset.vector(row), vectors[row])


@pytest.mark.parametrize("address", [str, Path.as_uri])  # a URL is read as an object store, where no file stays open
@pytest.mark.parametrize("asked_before", [True, False])
def test_an_open_dataset_keeps_its_vectors_when_others_are_published(
    url: Path, address: Callable[[Path], str], asked_before: bool
) -> None:
    store = Store(str(url))
    vectors = publish_kept_vectors(store)
    with open_dataset(address(url)) as dataset:
        if asked_before:
            np.testing.assert_array_equal(dataset.vector(0), vectors[0])
        # First those of another extractor for the same index, then a newer index.
        others = publish_kept_vectors(store, extractor_digest="b" * 64)
        publish_kept_vectors(publish_dataset(url, pictures(3)), extractor_digest="b" * 64)
        np.testing.assert_array_equal(dataset.vectors(), vectors)
        dataset.close()
        np.testing.assert_array_equal(dataset.vector(3), vectors[3])
    with open_dataset(url, snapshot=1) as opened_later:
        np.testing.assert_array_equal(opened_later.vectors(), others)


def everything_of(dataset: Dataset) -> tuple[Any, ...]:
    """What a dataset gives, by each way of reading it."""
    rows = range(len(dataset))
    one_by_one = [dataset[row]["image"].tobytes() for row in rows], [dataset.vector(row).tobytes() for row in rows]
    together = [batch["image"].tobytes() for batch in dataset.batches()], dataset.vectors().tobytes()
    return dataset.digest, dataset.has_vectors, dataset.table().to_pylist(), one_by_one, together


def differences(store: Store, older: int, newer: int) -> tuple[set[str], ...]:
    diff = diff_snapshots(store, older, newer)
    moved = {f"{it.old_key} -> {it.new_key}" for it in diff.moved}
    relabelled = {f"{it.key}: {it.old_label!r} -> {it.new_label!r}" for it in diff.relabelled}
    return set(diff.added), set(diff.removed), set(diff.changed), moved, relabelled


def modelled(old: Images, new: Images, other_look: bool) -> tuple[set[str], ...]:
    """What the differences are, found by going through everything."""
    origin = {key: key for key in new if key in old}
    for number in {image[0] for image in new.values()}:
        # Where several keys hold the same bytes, those gone or new come first.
        left = [key for key in sorted(old) if old[key][0] == number and key not in new]
        left += [key for key in sorted(old) if old[key][0] == number and key in new and new[key][0] != number]
        came = [key for key in sorted(new) if new[key][0] == number and key not in old]
        came += [key for key in sorted(new) if new[key][0] == number and key in old and old[key][0] != number]
        origin.update(zip(came, left, strict=False))
    moved = {f"{before} -> {key}" for key, before in origin.items() if before != key}
    relabelled = {
        f"{key}: {old[before][1]!r} -> {new[key][1]!r}"
        for key, before in origin.items()
        if old[before][1] != new[key][1]
    }
    stayed = {key for key, before in origin.items() if before == key}
    changed = {key for key in stayed if other_look or old[key][0] != new[key][0]}
    lost = set(old) - set(new) - set(origin.values())
    return set(new) - set(origin), lost, changed, moved, relabelled


def publish_plain_index(store: Store, images: Images, digest: str = "0" * 64) -> None:
    """Publish an index alone, of these images and with that digest."""
    keys, (numbers, labels) = list(images), zip(*images.values(), strict=True) if images else ((), ())
    columns: dict[str, Any] = {name: [None] * len(keys) for name in INDEX_SCHEMA.names}
    for name in ("variant", "width_px", "height_px", "row"):
        columns[name] = [0] * len(keys)
    hashes = [f"{number % 2**256:064x}" for number in numbers]
    columns.update(dict.fromkeys(("id", "format", "segment"), keys), key=keys, label=labels, bucket=buckets_of(keys))
    columns.update(sha256=hashes, output_sha256=hashes)
    table = pa.table(columns, schema=INDEX_SCHEMA).sort_by([("bucket", "ascending"), ("key", "ascending")])
    number = latest_index(store) + 1
    head = IndexHead("tiny", number, digest, len(keys), "0" * 16, 1, "2026-01-01", {}, {})
    with staged_index(head, [table]) as staged:
        publish_index(store, number, staged)


def publish_kept_vectors(store: Store, *, extractor_digest: str = "a" * 64, dim: int = 5) -> NDArray[np.float32]:
    """Publish made-up vectors of the newest index as a run does, in a chunk and aligned, and return them."""
    index = read_index_head(store, latest_index(store))
    rows = pa.concat_tables(iter_index(store, index.number, columns=["id", "output_sha256"]))
    hashes = rows["output_sha256"].to_pylist()
    seeds = [[int(sha256[:8], 16), int(extractor_digest, 16)] for sha256 in hashes]
    vectors = np.stack([np.random.default_rng(seed).random(dim, np.float32) for seed in seeds])
    # Backwards, so that the order in the chunk is not that of the index.
    write_chunk(store, extractor_digest, hashes[::-1], vectors[::-1])
    head = VectorHead("made-up", extractor_digest, dim, index.number, index.digest, index.rows)
    with staged_vectors(head, [(rows, vectors)]) as staged:
        publish_vectors(store, staged)
    return vectors
