"""Labels told from vectors: right, beside those of people, and the same whatever the way to the dataset was."""

import csv

import numpy as np
import pyarrow as pa
import pytest

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.pipeline.auto_labels import auto_labels_summary, build_auto_labels
from image_assets.pipeline.embedding import build_vectors, open_extractor
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.storage.auto_labels import iter_auto_labels, read_auto_labels_head
from image_assets.storage.identity import open_store
from image_assets_tests.features.pictures import PICTURES
from image_assets_tests.images import make_settings_for, write_image, write_images

COLOURS = {"extractor": "colour-moments"}
NEIGHBOURS = {"enabled": True, "methods": ["neighbours"], "k": 3}


def label(folder, labels):
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("filename", "label"), *labels.items()])


def settings_for(folder, **overrides):
    known = {"kind": "file", "path": "labels.csv"} if (folder / "labels.csv").exists() else {"kind": "none"}
    return make_settings_for(folder, **{"labels": known, "features": COLOURS, "auto_labels": NEIGHBOURS, **overrides})


def told(settings):
    """The rows of the file with their keys."""
    with open_dataset(settings.store) as dataset:
        keys = dataset.table(["key", "variant", "label"]).to_pylist()
    rows = pa.concat_tables(iter_auto_labels(open_store(settings))).to_pylist()
    return [{**one, **other} for one, other in zip(keys, rows, strict=True)]


def cosines(settings, key):
    """The cosine to each other labelled image, by its row, from the vectors as they are."""
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["key", "variant", "label"]).to_pylist()
        vectors = dataset.vectors().astype(np.float64)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = next(at for at, row in enumerate(rows) if (row["key"], row["variant"]) == (key, 0))
    others = [at for at, row in enumerate(rows) if row["label"] and row["variant"] == 0 and at != asked]
    return {at: units[at] @ units[asked] for at in others}


def test_neighbours_are_those_that_comparing_with_all_finds_and_no_variants(tmp_path):
    write_images(tmp_path / "raw", 14)
    label(tmp_path, {f"{'ab'[number % 2]}/{number}.jpg": f"n{number}" for number in range(9)})
    settings = settings_for(tmp_path, augment={"variants": 2})
    run_dataset(settings)
    rows = told(settings)
    assert [row["has_label"] for row in rows] == [row["label"] is not None for row in rows]
    for row in rows:
        plain = next(one for one in rows if (one["key"], one["variant"]) == (row["key"], 0))
        assert row["neighbour_label"] == plain["neighbour_label"]
        assert (row["neighbours"] is None) == (row["variant"] > 0)
    for row in rows[::3]:
        true = cosines(settings, row["key"])
        # Cosines that are closer than the whole numbers tell may change places.
        found = [true[at] for at in row["neighbours"]]
        assert found == pytest.approx(sorted(true.values(), reverse=True)[:3], abs=5e-4)


def test_labels_of_people_are_not_touched_and_leave_the_digest_alone(tmp_path):
    write_images(tmp_path / "raw", 6)
    label(tmp_path, {"a/0.jpg": "x", "b/1.jpg": "y"})
    without = run_dataset(settings_for(tmp_path, auto_labels={}))
    with_them = run_dataset(settings_for(tmp_path))
    assert with_them.index.head.digest == without.index.head.digest
    assert {row["key"]: row["label"] for row in told(settings_for(tmp_path)) if row["label"]} == {
        "a/0.jpg": "x",
        "b/1.jpg": "y",
    }


CHANGES = {
    "added": lambda folder: write_images(folder / "raw", 4, first=50),
    "a labelled one changed": lambda folder: write_image(folder / "raw", "a/2.jpg", 99),
    "added with a label": lambda folder: (
        write_image(folder / "raw", "c/1.jpg", 70),
        label(folder, {**LABELS, "c/1.jpg": "new"}),
    ),
    "another label": lambda folder: label(folder, {**LABELS, "a/0.jpg": "z", "c/1.jpg": "new"}),
    "an unlabelled one removed": lambda folder: (folder / "raw" / "a/50.jpg").unlink(),
    "renamed": lambda folder: (folder / "raw" / "a/0.jpg").rename(folder / "raw" / "a/renamed.jpg"),
    "a labelled one removed": lambda folder: (folder / "raw" / "b/1.jpg").unlink(),
    "a label given": lambda folder: label(folder, {**LABELS, "b/11.jpg": "y"}),
    "labels taken away": lambda folder: label(folder, {"a/4.jpg": "x", "b/11.jpg": "y"}),
}
LABELS = {"a/0.jpg": "x", "b/1.jpg": "y", "a/2.jpg": "x", "b/3.jpg": "y", "a/4.jpg": "x"}


def test_after_any_changes_the_file_is_that_of_a_dataset_made_from_scratch(tmp_path):
    write_images(tmp_path / "raw", 12)
    label(tmp_path, LABELS)
    settings = settings_for(tmp_path)
    run_dataset(settings)
    for number, (name, change) in enumerate(CHANGES.items()):
        change(tmp_path)
        run_dataset(settings)
        if number % 3 == 2:
            fresh = settings_for(tmp_path, store=str(tmp_path / f"other {number}"))
            run_dataset(fresh)
            assert told(settings) == told(fresh), name


def test_only_what_is_new_or_lost_a_neighbour_is_searched_for(tmp_path):
    write_images(tmp_path / "raw", 12)
    label(tmp_path, LABELS)
    settings = settings_for(tmp_path)
    counts = [run_dataset(settings).followed["auto_labels"].searched]
    write_image(tmp_path / "raw", "c/1.jpg", 70)
    counts.append(run_dataset(settings).followed["auto_labels"].searched)
    label(tmp_path, {**LABELS, "c/1.jpg": "new"})
    counts.append(run_dataset(settings).followed["auto_labels"].searched)
    counts.append(build_auto_labels(settings).searched)
    assert counts == [12, 1, 0, 0]


@pytest.mark.parametrize(("count", "labels"), [(0, {}), (1, {}), (1, {"a/0.jpg": "x"}), (2, {"a/0.jpg": "x"})])
def test_few_images_and_few_labels_are_no_trouble(tmp_path, count, labels):
    write_image(tmp_path / "raw", "other/0.jpg", 1000)
    write_images(tmp_path / "raw", count)
    if labels:
        label(tmp_path, labels)
    settings = settings_for(tmp_path)
    run_dataset(settings)
    expected = {"x"} if labels else {None}
    assert {row["neighbour_label"] for row in told(settings) if row["key"] not in labels} == expected
    assert all(row["neighbour_label"] is None for row in told(settings) if row["key"] in labels)


def test_less_confident_labels_are_left_out_and_nothing_is_searched_for_again(tmp_path):
    write_images(tmp_path / "raw", 12)
    label(tmp_path, LABELS)
    run_dataset(settings_for(tmp_path))
    before = told(settings_for(tmp_path))
    strict = settings_for(tmp_path, auto_labels={**NEIGHBOURS, "min_confidence": 0.8})
    report = build_auto_labels(strict)
    assert report.published
    assert report.searched == 0
    expected = [row["neighbour_label"] if row["neighbour_confidence"] >= 0.8 else None for row in before]
    assert [row["neighbour_label"] for row in told(strict)] == expected
    assert {None, "x"} <= {*expected}


def test_the_classifier_tells_from_the_vectors_what_it_tells_from_pixels(tmp_path):
    for name, draw in PICTURES.items():
        (tmp_path / "raw").mkdir(exist_ok=True)
        draw().save(tmp_path / "raw" / f"{name}.png")
    settings = settings_for(
        tmp_path,
        features={"extractor": "efficientnet-lite0", "dtype": "float16"},
        image={"width_px": 224, "height_px": 224},
        auto_labels={"enabled": True},
    )
    run_dataset(settings)
    found = {row["key"]: (row["imagenet_label"], row["imagenet_confidence"]) for row in told(settings)}
    words = {"analogue clock": "analog clock", "crossword": "crossword puzzle"}
    assert {key: word for key, (word, _) in found.items()} == {f"{key}.png": words.get(key, key) for key in PICTURES}
    with open_dataset(settings.store) as dataset:
        logits = open_extractor(settings, open_store(settings)).classify(dataset.images(dataset.table()))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    sure = (odds / odds.sum(axis=1, keepdims=True)).max(axis=1)
    assert [confidence for _, confidence in found.values()] == pytest.approx(sure, abs=0.005)
    assert [image["neighbour_label"] for image in auto_labels_summary(settings)["unlabelled"]] == [None] * 4


def test_classes_of_another_extractor_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"needs features\.extractor efficientnet-lite0, not colour-moments"):
        build_auto_labels(settings_for(tmp_path, auto_labels={}))


def test_without_vectors_of_the_newest_index_there_is_nothing_to_tell(tmp_path):
    write_images(tmp_path / "raw", 2)
    with pytest.raises(DatasetError, match="has no index yet; run it first"):
        build_auto_labels(settings_for(tmp_path))
    run_dataset(settings_for(tmp_path, auto_labels={}, features={"extractor": "none"}))
    with pytest.raises(ConfigError, match=r"auto_labels\.enabled needs feature vectors"):
        settings_for(tmp_path, features={"extractor": "none"})
    with pytest.raises(DatasetError, match="materialize feature_vectors first"):
        build_auto_labels(settings_for(tmp_path))
    build_vectors(settings_for(tmp_path))
    assert build_auto_labels(settings_for(tmp_path)).published


def test_a_forgotten_image_is_nobodys_neighbour(tmp_path):
    write_images(tmp_path / "raw", 8)
    label(tmp_path, LABELS)
    settings = settings_for(tmp_path)
    run_dataset(settings)
    forget_images(settings, ["a/0.jpg"])
    (tmp_path / "raw" / "a/0.jpg").unlink()
    after = told(settings)
    assert "a/0.jpg" not in {row["key"] for row in after}
    assert all(at < len(after) for row in after for at in row["neighbours"])
    assert read_auto_labels_head(open_store(settings)).labelled == 4
