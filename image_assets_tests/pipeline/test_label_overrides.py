"""Labels that people gave on a labelling platform, in the index: at once, without a pixel, and gone when they are."""

import hashlib
from pathlib import Path

from image_assets.core.annotations import AnnotatedImage, Annotation
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import RunReport, run_dataset
from image_assets.settings import Settings
from image_assets.storage.annotations import append_annotations
from image_assets.storage.store import Store
from image_assets_tests.images import make_settings_for, write_images


def said(settings: Settings, path: Path, *labels: str) -> None:
    """Import what a platform says of one image: its classes."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    image = AnnotatedImage(sha256, 40, 30, "cvat", "p", tuple(map(Annotation, labels)), reviewed=True)
    append_annotations(Store(settings.store), [image], imported_at="2026-01-01T00:00:00+00:00")


def labels_of(settings: Settings) -> dict[str, str | None]:
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["key", "label"])
    return dict(zip(rows["key"].to_pylist(), rows["label"].to_pylist(), strict=True))


def work(report: RunReport) -> tuple[int, int, int, bool]:
    counts = report.counts
    return counts.decoded, counts.read_bytes, counts.relabelled, report.index.published


def test_what_people_say_takes_the_place_of_the_folders_name_and_no_pixel_is_touched(tmp_path):
    write_images(tmp_path / "raw", 6)
    settings = make_settings_for(tmp_path, exports=["csv"])
    digest = run_dataset(settings).index.head.digest
    before = labels_of(settings)
    key = min(before)
    said(settings, tmp_path / "raw" / key, "zebra")
    assert work(run_dataset(settings)) == (0, 0, 0, True)
    assert labels_of(settings) == {**before, key: "zebra"}
    assert "zebra" in (tmp_path / "store/exports/index.csv").read_text()
    assert work(run_dataset(settings)) == (0, 0, 0, False)
    # By content: a renamed image keeps it, and so does a copy.
    (tmp_path / "raw" / key).rename(tmp_path / "raw/renamed.jpg")
    run_dataset(settings)
    assert labels_of(settings)["renamed.jpg"] == "zebra"
    (tmp_path / "raw/renamed.jpg").rename(tmp_path / "raw" / key)
    # Taken back: the folder's name again, and the dataset is what it was.
    said(settings, tmp_path / "raw" / key)
    assert run_dataset(settings).index.head.digest == digest


def test_a_class_that_people_gave_decides_which_label_is_split(tmp_path):
    write_images(tmp_path / "raw", 8)
    half = {"method": "fractions", "fractions": {"train": 0.5, "val": 0.5, "test": 0}}
    settings = make_settings_for(tmp_path, splits=half, labels={"kind": "none"})
    paths = sorted((tmp_path / "raw").rglob("*.jpg"))
    for path in paths[:4]:
        said(settings, path, "zebra")
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["label", "split"]).to_pylist()
    assert sorted(row["split"] for row in rows if row["label"] == "zebra") == ["train", "train", "val", "val"]
