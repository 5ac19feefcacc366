"""Annotations in a dataset: labels of people, boxes of every output, forgetting, clean-up."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from image_assets.core.annotations import AnnotatedImage, Annotation, Geometry
from image_assets.core.errors import ConfigError, DatasetError
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask, mask_from_bits
from image_assets.pipeline.annotating import build_placed_annotations, placed_annotations_version
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.label_overrides import label_overrides, label_overrides_version
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.settings import Settings
from image_assets.settings.sources import AnnotationSettings
from image_assets.storage import layout
from image_assets.storage.annotation_files import annotation_numbers
from image_assets.storage.annotations import append_annotations, compact_annotations, iter_annotations
from image_assets.storage.identity import open_store
from image_assets_tests.images import make_settings_for, write_images
from image_assets_tests.transforms.test_placing import marked

NOW = "2026-11-21T10:00:00+00:00"
SIZE_PX = (120, 80)
MARK = Box(40, 20, 80, 50)


def said_of(data: bytes, *given: Annotation, reviewed: bool = False, project: str = "p") -> AnnotatedImage:
    return AnnotatedImage(hashlib.sha256(data).hexdigest(), *SIZE_PX, "cvat", project, given, reviewed=reviewed)


def put(settings: Settings, *images: AnnotatedImage) -> None:
    append_annotations(open_store(settings), images, imported_at=NOW)


def shapes() -> tuple[Annotation, ...]:
    bits = np.zeros(SIZE_PX[::-1], bool)
    bits[20:50, 40:80] = True
    forms: tuple[Geometry, ...] = (MARK, Polygon(MARK.corners), mask_from_bits(bits), None)
    return tuple(Annotation("mark", form) for form in forms)


@pytest.fixture
def dataset(tmp_path: Path) -> Settings:
    """Three images with a mark, in three orientations, and their augmented outputs."""
    (tmp_path / "raw/a").mkdir(parents=True)
    for orientation in (1, 6, 8):
        (tmp_path / f"raw/a/{orientation}.png").write_bytes(marked(SIZE_PX, MARK, orientation))
    augment = {"variants": 2, "transforms": ["random_crop", "random_flip", {"random_rotation": {"max_deg": 8}}]}
    image = {"width_px": 60, "height_px": 60, "fit": "contain"}
    settings = make_settings_for(tmp_path, augment=augment, image=image, output={"format": "png"})
    run_dataset(settings)
    return settings


def raw(settings: Settings, orientation: int) -> bytes:
    return (Path(settings.source.path) / f"a/{orientation}.png").read_bytes()


def test_every_output_has_its_annotations_where_its_pixels_are(dataset: Settings) -> None:
    put(dataset, *(said_of(raw(dataset, each), *shapes()) for each in (1, 6, 8)))
    report = build_placed_annotations(dataset)
    assert (report.head.rows, report.head.annotated, report.head.misfits) == (36, 9, 0)
    with open_dataset(dataset.store) as images:
        for row in range(len(images)):
            pixels = images.image(row)
            red = pixels[:, :, 0].astype(int) - pixels[:, :, 2] > 60
            ys, xs = np.nonzero(red)
            box, polygon, mask, whole = images.annotations(row)
            assert [each["kind"] for each in (box, polygon, mask, whole)] == ["box", "polygon", "mask", "class"]
            assert np.abs(np.subtract(box["points"], (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))).max() < 1.6
            bits = Mask(60, 60, mask["rle"]).bits()
            assert (bits & red).sum() / (bits | red).sum() > 0.85
            assert box["original_points"] == [40, 20, 80, 50]
            assert len(polygon["points"]) >= 8
            assert (whole["points"], whole["rle"], whole["visible"]) == (None, None, 1.0)


def test_the_file_is_made_again_when_the_index_or_the_annotations_change_and_only_then(dataset: Settings) -> None:
    put(dataset, said_of(raw(dataset, 1), *shapes()))
    before = placed_annotations_version(dataset)
    assert build_placed_annotations(dataset).published
    assert not build_placed_annotations(dataset).published
    put(dataset, said_of(raw(dataset, 6), *shapes()))
    assert placed_annotations_version(dataset) != before
    assert build_placed_annotations(dataset).head.annotated == 6
    Path(dataset.source.path, "a/6.png").rename(Path(dataset.source.path, "a/other.png"))
    run_dataset(dataset)
    assert build_placed_annotations(dataset).head.annotated == 6
    compact_annotations(open_store(dataset), imported_at=NOW)
    assert not build_placed_annotations(dataset).published


def test_a_run_makes_the_file_when_it_is_wanted_and_changes_no_pixel(dataset: Settings) -> None:
    put(dataset, said_of(raw(dataset, 1), *shapes()))
    wanted = dataset.model_copy(update={"annotations": AnnotationSettings(enabled=True)})
    report = run_dataset(wanted)
    assert report.followed["annotations"].facts["dagster/row_count"] == 12
    assert (report.counts.decoded, report.counts.hashed, report.counts.kept) == (0, 0, 3)
    put(dataset, said_of(raw(dataset, 6), *shapes()))
    again = run_dataset(wanted)
    assert again.followed["annotations"].facts["dagster/row_count"] == 24
    assert again.counts.decoded == 0


def test_what_was_looked_at_and_holds_nothing_differs_from_what_nobody_looked_at(dataset: Settings) -> None:
    put(dataset, said_of(raw(dataset, 1), reviewed=True), said_of(raw(dataset, 6)))
    build_placed_annotations(dataset)
    with open_dataset(dataset.store) as images:
        keys = [images.values(row, ["key"])["key"] for row in range(len(images))]
        found = {key: {each["kind"] for each in images.annotations(row)} for row, key in enumerate(keys)}
    assert found == {"a/1.png": {"nothing"}, "a/6.png": set(), "a/8.png": set()}


def test_annotations_of_another_size_are_left_out_and_counted(dataset: Settings) -> None:
    put(dataset, replace(said_of(raw(dataset, 1), Annotation("mark", MARK)), width_px=121))
    head = build_placed_annotations(dataset).head
    assert (head.rows, head.misfits) == (0, 3)


def test_a_dataset_without_annotations_has_an_empty_file(dataset: Settings) -> None:
    with open_dataset(dataset.store) as images, pytest.raises(DatasetError, match="no annotations in"):
        images.annotations(0)
    assert build_placed_annotations(dataset).head.rows == 0
    with open_dataset(dataset.store) as images:
        assert images.annotations(0) == []
        with pytest.raises(IndexError):
            images.annotations(9)


def test_other_settings_than_those_of_the_index_never_place_a_box(dataset: Settings) -> None:
    put(dataset, said_of(raw(dataset, 1), *shapes()))
    changed = make_settings_for(Path(dataset.store).parent, image={"width_px": 50, "height_px": 60})
    nothing = build_placed_annotations(changed)
    assert (nothing.head.rows, nothing.index_digest, nothing.published) == (0, "", False)
    assert "other settings" in str(nothing.facts["waits"])
    before = build_placed_annotations(dataset).head
    put(dataset, said_of(raw(dataset, 6), *shapes()))
    report = build_placed_annotations(changed)
    assert (report.head, report.published) == (before, False)
    assert "other settings" in str(report.facts["waits"])


def test_forgetting_is_finished_also_between_a_changed_setting_and_its_run(dataset: Settings) -> None:
    put(dataset, *(said_of(raw(dataset, each), *shapes()) for each in (1, 6)))
    build_placed_annotations(dataset)
    changed = make_settings_for(
        Path(dataset.store).parent, image={"width_px": 50, "height_px": 60}, annotations={"enabled": True}
    )
    assert forget_images(changed, ["a/1.png"]).forgotten_images == 1
    assert "pending" not in json.loads(Path(dataset.store, "forgotten/00000001.json").read_text())


def test_a_transform_of_ones_own_is_refused_when_a_box_has_to_follow_it(tmp_path: Path) -> None:
    own = ["image_assets_tests.transforms.test_placing:OwnShift"]
    (tmp_path / "raw").mkdir()
    data = marked(SIZE_PX, MARK)
    (tmp_path / "raw/1.png").write_bytes(data)
    settings = make_settings_for(tmp_path, transforms=own)
    run_dataset(settings)
    # A class needs no place.
    put(settings, said_of(data, Annotation("cat")))
    assert build_placed_annotations(settings).head.rows == 1
    put(settings, said_of(data, *shapes()))
    with pytest.raises(ConfigError, match="does not say where its pixels come from"):
        build_placed_annotations(settings)


def test_outputs_of_further_frames_have_classes_and_no_boxes(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    frames = [Image.new("RGB", SIZE_PX, colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "raw/1.gif", save_all=True, append_images=frames[1:])
    settings = make_settings_for(tmp_path, image={"width_px": 16, "height_px": 16, "frames": "all"})
    run_dataset(settings)
    put(settings, said_of((tmp_path / "raw/1.gif").read_bytes(), *shapes()))
    head = build_placed_annotations(settings).head
    assert (head.rows, head.annotated, head.hidden) == (5, 2, 3)


def test_classes_of_people_take_the_place_of_the_sources_labels(dataset: Settings) -> None:
    store = open_store(dataset)
    rows = open_dataset(dataset.store).table(["sha256", "label"])
    assert label_overrides(store).version == label_overrides_version(store) == ""
    assert label_overrides(store).apply(rows).equals(rows)
    put(
        dataset,
        said_of(raw(dataset, 1), Annotation("cat"), Annotation("dog", predicted=True)),
        # Neither is newer.
        said_of(raw(dataset, 6), Annotation("cat"), Annotation("dog")),
        # In time, not in the text of the time.
        said_of(
            raw(dataset, 8),
            Annotation("late", made_at="2026-01-01T01:00:00-09:00"),
            Annotation("early", made_at="2026-01-01T08:00:00+00:00"),
        ),
        said_of(b"not in the dataset", Annotation("cat")),
    )
    overrides = label_overrides(store)
    labels = dict(zip(*overrides.apply(rows).to_pydict().values(), strict=True))
    hashes = [hashlib.sha256(raw(dataset, each)).hexdigest() for each in (1, 6, 8)]
    assert [labels[each] for each in hashes] == ["cat", "a", "late"]
    assert overrides.apply(rows).schema == rows.schema
    assert overrides.version == label_overrides_version(store) != ""
    put(dataset, said_of(raw(dataset, 1), *shapes(), Annotation("cat"), project="q"))
    assert label_overrides_version(store) == overrides.version  # "mark" and "cat": no class that counts.
    put(dataset, said_of(raw(dataset, 1), Annotation("cow"), project="q"))
    assert label_overrides(store).labels.to_pylist().count("cow") == 1
    put(dataset, said_of(raw(dataset, 1), project="q"))
    assert label_overrides(store).version == overrides.version
    assert label_overrides(store).apply(rows.slice(0, 0)).num_rows == 0
    assert isinstance(label_overrides(store).labels, pa.StringArray)


def test_forgetting_takes_the_annotations_and_does_not_take_them_back(tmp_path: Path) -> None:
    (first, second) = write_images(tmp_path / "raw", 2)
    settings = make_settings_for(tmp_path)
    run_dataset(settings)
    data, other = first.read_bytes(), second.read_bytes()
    words = Annotation("secretword", annotator="secretname")
    put(settings, said_of(data, words), said_of(other, Annotation("seen")))
    put(settings, said_of(other, Annotation("seen again")))
    build_placed_annotations(settings)
    first.unlink()
    report = forget_images(settings, ["a/0.jpg"])
    store = open_store(settings)
    files = [str(pq.read_table(path).to_pylist()) for path in Path(settings.store).rglob("annotations/*.parquet")]
    assert len(files) == 2
    assert not any(text in said for said in files for text in ("secret", hashlib.sha256(data).hexdigest()))
    assert [image.annotations[0].label for image in iter_annotations(store)] == ["seen again"]
    assert not Path(settings.store, layout.PLACED_ANNOTATIONS).exists()
    receipt = json.loads(store.get(str(report.receipt)).to_pybytes())
    assert "annotations/00000001.parquet" in {entry["path"] for entry in receipt["files"]}
    put(settings, said_of(data, words))
    assert len(list(iter_annotations(store))) == 1
    assert build_placed_annotations(settings).head.rows == 1


def test_what_the_dataset_holds_no_more_is_forgotten_by_its_hash(tmp_path: Path) -> None:
    write_images(tmp_path / "raw", 1)
    settings = make_settings_for(tmp_path)
    run_dataset(settings)
    gone = said_of(b"an image of long ago", Annotation("secretword"))
    put(settings, gone)
    assert forget_images(settings, [gone.sha256]).forgotten_images == 1
    assert list(iter_annotations(open_store(settings))) == []


def test_clean_up_removes_what_a_later_file_covers_and_no_annotation(dataset: Settings) -> None:
    store = open_store(dataset)
    for label in ("cat", "dog", "cow"):
        put(dataset, said_of(raw(dataset, 1), Annotation(label)))
    vacuum_dataset(dataset, Retention(), compact=False, dry_run=False)
    assert annotation_numbers(store) == [1, 2, 3]
    compact_annotations(store, imported_at=NOW)
    vacuum_dataset(dataset, Retention(), compact=False, dry_run=False)
    assert annotation_numbers(store) == [4]
    assert [image.annotations[0].label for image in iter_annotations(store)] == ["cow"]
