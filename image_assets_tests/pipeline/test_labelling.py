"""Images to a labelling platform and labels back: by content, each once, in pixels of the originals."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image

from image_assets.cli import main
from image_assets.cli.labelling import PLATFORM_NAMES
from image_assets.core.annotations import Annotation, Geometry
from image_assets.core.errors import AnnotationError, ConfigError, DatasetError
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask, mask_from_bits
from image_assets.labelling import PLATFORMS, find_platform
from image_assets.labelling.base import Project, Task
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.label_export import LabelExport, LabelExportReport, export_for_labelling
from image_assets.pipeline.label_import import LabelImport, LabelImportReport, import_labels
from image_assets.pipeline.labelling import label_names
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings
from image_assets.storage.annotations import iter_annotations
from image_assets.storage.auto_labels import AUTO_LABELS_SCHEMA, AutoLabelsHead, publish_auto_labels
from image_assets.storage.store import Store
from image_assets_tests.images import make_settings_for

NOW = "2026-01-01T00:00:00+00:00"
LABELS = ("cat", "ünï 日本")
every_platform = pytest.mark.parametrize("name", sorted(PLATFORMS))


def put(folder: Path, key: str, number: int, size: tuple[int, int] = (64, 32), turn: int = 1) -> Path:
    """Write an image whose EXIF orientation says how it is to be turned."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path = folder / "raw" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def published(folder: Path, **overrides: Any) -> Settings:
    """Three images of 64 x 32 in a dataset of 16 x 16: scaled by a half, and 8 pixels cut off left and right."""
    for number, key in enumerate(('odd, "name" 日本.png', "b/two.png", "c.png")):
        put(folder, key, number)
    settings = make_settings_for(folder, labels={"kind": "none"}, num_shards=1, **overrides)
    run_dataset(settings)
    return settings


def export(settings: Settings, folder: Path, name: str, **options: Any) -> LabelExportReport:
    return export_for_labelling(
        settings, LabelExport(name, "p", folder / "out", **{"labels": LABELS, "only": "all", **options})
    )


def come_back(settings: Settings, path: Path, name: str, **options: Any) -> LabelImportReport:
    return import_labels(settings, LabelImport(name, "p", path, **options), imported_at=NOW)


def annotated(report: LabelExportReport, name: str, *annotations: Annotation) -> Path:
    """Say the same of every image of a batch, as the platform would, and return its file."""
    assert report.folder is not None
    platform, path = find_platform(name), report.folder / "back"
    path.mkdir(exist_ok=True)
    tasks = []
    for line in (report.folder / "tasks.jsonl").read_text().splitlines():
        sent = json.loads(line)
        made = Task(sent["sha256"], sent["recipe_id"], sent["width_px"], sent["height_px"], annotations, True)
        tasks.append(made.of_kinds(platform.kinds))
    platform.write(iter(tasks), path, Project("p", LABELS, len(tasks)))
    return path / platform.file_name


def said(settings: Settings) -> dict[str, list[tuple[str, Geometry]]]:
    """What the store has of each image, by its sha256."""
    found = iter_annotations(Store(settings.store))
    return {image.sha256: [(each.label, each.geometry) for each in image.annotations] for image in found}


BOX, TRIANGLE = Box(2.0, 4.0, 10.0, 12.0), Polygon(((0.0, 0.0), (16.0, 0.0), (8.0, 8.0)))


def square(left: int, top: int, side: int, size: tuple[int, int]) -> Mask:
    bits = np.zeros((size[1], size[0]), bool)
    bits[top : top + side, left : left + side] = True
    return mask_from_bits(bits)


@every_platform
def test_what_comes_back_lies_in_pixels_of_the_originals(name: str, tmp_path: Path) -> None:
    settings = published(tmp_path)
    every = [Annotation("cat"), Annotation("cat", BOX), Annotation(LABELS[1], TRIANGLE)]
    every.append(Annotation("cat", square(3, 5, 4, (16, 16))))
    path = annotated(export(settings, tmp_path, name), name, *every)
    report = come_back(settings, path, name)
    assert (report.tasks, report.kept.changed, report.unknown, report.problems) == (3, 3, 0, ())
    # Twice as large, and 16 pixels to the right.
    wanted: list[tuple[str, Geometry]] = [
        ("cat", None),
        ("cat", Box(20.0, 8.0, 36.0, 24.0)),
        (LABELS[1], Polygon(((16.0, 0.0), (48.0, 0.0), (32.0, 16.0)))),
        ("cat", square(22, 10, 8, (64, 32))),
    ]
    kinds = find_platform(name).kinds
    wanted = [each for each, made in zip(wanted, every, strict=True) if made.kind in kinds]
    for found in said(settings).values():
        assert [each for each in found if not isinstance(each[1], Box)] == [
            each for each in wanted if not isinstance(each[1], Box)
        ]
        (box,) = (each for _, each in found if isinstance(each, Box))
        assert np.allclose((box.left, box.top, box.right, box.bottom), (20, 8, 36, 24))


@every_platform
def test_what_is_known_goes_out_in_pixels_of_what_is_sent_and_comes_back_the_same(name: str, tmp_path: Path) -> None:
    put(tmp_path, "turned.png", 9, (32, 64), turn=6)
    settings = published(tmp_path)
    first = export(settings, tmp_path, name)
    come_back(settings, annotated(first, name, Annotation("cat", BOX), Annotation("cat", TRIANGLE)), name)
    before = said(settings)
    second = export_for_labelling(settings, LabelExport(name, "q", tmp_path / "out", only="all"))
    assert (second.annotations, second.labels) == (8, ("cat",))
    assert second.folder is not None
    report = import_labels(
        settings, LabelImport(name, "q", second.folder / find_platform(name).file_name), imported_at=NOW
    )
    assert report.kept.changed == 4
    for image in iter_annotations(Store(settings.store)):
        assert image.width_px == 64
        for (label, geometry), (other, wanted) in zip(
            [(each.label, each.geometry) for each in image.annotations], before[image.sha256], strict=True
        ):
            assert label == other
            assert np.allclose(_numbers(geometry), _numbers(wanted))


def _numbers(geometry: Geometry) -> list[float]:
    assert isinstance(geometry, Box | Polygon)
    points = geometry.corners if isinstance(geometry, Box) else geometry.points
    return [value for point in points for value in point]


@every_platform
def test_an_export_has_what_is_new_and_an_import_of_the_same_is_none(name: str, tmp_path: Path) -> None:
    settings = published(tmp_path)
    first = export(settings, tmp_path, name)
    assert first.folder is not None
    assert (first.exported, len(list((first.folder / "images").iterdir()))) == (3, 3)
    assert (export(settings, tmp_path, name).folder, export(settings, tmp_path, name).sent_before) == (None, 3)
    put(tmp_path, "d.png", 7)
    shutil.copy(tmp_path / "raw/d.png", tmp_path / "raw/the same as d.png")
    (tmp_path / "raw/c.png").rename(tmp_path / "raw/renamed.png")
    run_dataset(settings)
    second = export(settings, tmp_path, name)
    assert (second.exported, second.sent_before) == (1, 3)
    path = annotated(first, name, Annotation("cat", BOX))
    assert come_back(settings, path, name).kept.changed == 3
    again = come_back(settings, path, name).kept
    assert (again.number, again.changed, again.unchanged) == (None, 0, 3)


@every_platform
def test_what_nobody_touched_says_nothing(name: str, tmp_path: Path) -> None:
    settings = published(tmp_path)
    report = export(settings, tmp_path, name)
    assert report.folder is not None
    path = report.folder / find_platform(name).file_name
    assert come_back(settings, path, name).kept.number is None
    assert said(settings) == {}


def test_labels_that_come_back_read_and_decode_nothing(tmp_path: Path) -> None:
    settings = published(tmp_path)
    path = annotated(export(settings, tmp_path, "cvat"), "cvat", Annotation("cat"))
    come_back(settings, path, "cvat")
    counts = run_dataset(settings).counts
    assert (counts.decoded, counts.hashed, counts.read_bytes) == (0, 0, 0)
    with open_dataset(settings.store) as dataset:
        assert dataset.table(["label"])["label"].to_pylist() == ["cat"] * 3


def test_of_labelled_images_only_those_without_a_label_go_out(tmp_path: Path) -> None:
    for number, key in enumerate(("cat/a.png", "cat/b.png", "c.png")):
        put(tmp_path, key, number)
    settings = make_settings_for(tmp_path)
    run_dataset(settings)
    options = {"only": "unlabelled", "labels": ()}
    report = export(settings, tmp_path, "cvat", **options)
    assert (report.exported, report.labels) == (1, ("cat",))
    come_back(settings, annotated(report, "cvat", Annotation("cat")), "cvat")
    assert export(settings, tmp_path / "elsewhere", "cvat", **options).exported == 0
    every = export(settings, tmp_path / "elsewhere", "cvat", only="all", labels=())
    assert (every.exported, every.annotations, every.predictions) == (3, 1, 2)


def test_a_recipe_that_changed_since_the_export_does_not_move_what_comes_back(tmp_path: Path) -> None:
    settings = published(tmp_path)
    path = annotated(export(settings, tmp_path, "cvat"), "cvat", Annotation("cat", BOX))
    later = make_settings_for(tmp_path, labels={"kind": "none"}, num_shards=1, image={"width_px": 24, "height_px": 8})
    run_dataset(later)
    come_back(later, path, "cvat")
    assert set(map(str, said(later).values())) == {str([("cat", Box(20.0, 8.0, 36.0, 24.0))])}


def test_content_that_is_gone_is_reported_and_left_out(tmp_path: Path) -> None:
    settings = published(tmp_path)
    path = annotated(export(settings, tmp_path, "cvat"), "cvat", Annotation("cat"))
    (tmp_path / "raw/c.png").unlink()
    run_dataset(settings)
    report = come_back(settings, path, "cvat")
    assert (report.kept.changed, report.unknown, len(report.unknown_names)) == (2, 1, 1)


def test_a_forgotten_image_takes_no_label_and_is_in_no_record(tmp_path: Path) -> None:
    settings = published(tmp_path)
    report = export(settings, tmp_path, "label-studio")
    path = annotated(report, "label-studio", Annotation("cat"))
    sha256 = {json.loads(line)["key"]: json.loads(line)["sha256"] for line in (report.folder / "tasks.jsonl").open()}
    forget_images(settings, ["c.png"])
    assert come_back(settings, path, "label-studio").unknown == 1
    for file in Path(settings.store).rglob("*"):
        assert not file.is_file() or sha256["c.png"].encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        (Annotation("dog"), "label 'dog' was not offered; offered were 'cat', 'ünï 日本'"),
        (Annotation("cat", Box(16.5, 0.0, 17.0, 9.0)), "lies outside of the image of 16 x 16 pixels"),
        (Annotation("cat", Box(-9.0, -9.0, -1.0, -1.0)), "lies outside"),
        (Annotation("cat", mask_from_bits(np.zeros((16, 16), bool))), "lies outside"),
    ],
)
def test_a_task_that_cannot_be_taken_keeps_the_file_out_unless_it_is_left_out(
    annotation: Annotation, why: str, tmp_path: Path
) -> None:
    settings = published(tmp_path)
    path = annotated(export(settings, tmp_path, "label-studio"), "label-studio", annotation)
    with pytest.raises(AnnotationError, match="3 of 3 tasks cannot be taken, so nothing was imported") as error:
        come_back(settings, path, "label-studio")
    assert f"{path.name}, task no. 1: " in str(error.value)
    assert why in str(error.value)
    assert said(settings) == {}
    report = come_back(settings, path, "label-studio", skip_problems=True)
    assert (report.kept.number, len(report.problems)) == (None, 3)


def test_boxes_that_reach_over_the_edge_are_cut_there(tmp_path: Path) -> None:
    settings = published(tmp_path)
    path = annotated(export(settings, tmp_path, "cvat"), "cvat", Annotation("cat", Box(-5.0, 8.0, 99.0, 99.0)))
    come_back(settings, path, "cvat")
    assert set(map(str, said(settings).values())) == {str([("cat", Box(16.0, 16.0, 48.0, 32.0))])}


def test_places_in_a_file_of_another_size_are_refused(tmp_path: Path) -> None:
    settings = published(tmp_path)
    path = annotated(export(settings, tmp_path, "cvat"), "cvat", Annotation("cat", BOX))
    path.write_text(path.read_text().replace('width="16"', 'width="32"'))
    with pytest.raises(AnnotationError, match="are of an image of 32 x 16 pixels, and 16 x 16 were sent"):
        come_back(settings, path, "cvat")


def test_an_image_of_a_recipe_that_was_never_exported_is_refused(tmp_path: Path) -> None:
    settings = published(tmp_path)
    path = annotated(export(settings, tmp_path, "cvat"), "cvat", Annotation("cat", BOX))
    recipe = json.loads((path.parents[1] / "tasks.jsonl").read_text().splitlines()[0])["recipe_id"]
    path.write_text(path.read_text().replace(recipe, "0" * 16))
    with pytest.raises(AnnotationError, match="made with recipe 0000000000000000"):
        come_back(settings, path, "cvat")


def test_an_import_without_an_export_wants_labels(tmp_path: Path) -> None:
    settings = published(tmp_path)
    path = annotated(export(settings, tmp_path, "cvat"), "cvat", Annotation("cat"))
    with pytest.raises(
        ConfigError, match=r"nothing was exported to project 'x' of cvat \(exported were 'p' \(cvat\)\)"
    ):
        import_labels(settings, LabelImport("cvat", "x", path), imported_at=NOW)
    wanted = LabelImport("cvat", "x", path, labels=("cat",))
    assert import_labels(settings, wanted, imported_at=NOW).kept.changed == 3


def test_predictions_do_not_go_where_they_would_come_back_as_labels(tmp_path: Path) -> None:
    settings = published(tmp_path)
    with pytest.raises(ConfigError, match="coco does not tell what a model said"):
        export(settings, tmp_path, "coco", predictions=True)


def test_predictions_of_models_go_out_for_images_without_a_label(tmp_path: Path) -> None:
    settings = published(tmp_path)
    with pytest.raises(DatasetError, match="predictions of index 1 are asked for, and there are none"):
        export(settings, tmp_path, "label-studio", predictions=True)
    store = Store(settings.store)
    with open_dataset(settings.store) as dataset:
        rows, index = dataset.table(["id", "key", "output_sha256"]), dataset.head
    said = {
        "neighbour_label": ["cat", None, None],
        "neighbour_confidence": [0.75, None, None],
        "imagenet_label": ["tabby", LABELS[1], "tabby"],
        "imagenet_confidence": [0.5, 0.25, 1.0],
    }
    empty = {name: [None] * 3 for name in ("neighbours", "products")}
    columns = {**rows.select(["id", "output_sha256"]).to_pydict(), "has_label": [False] * 3, **said, **empty}
    head = AutoLabelsHead("v", 5, "d", index.number, index.digest, 3, 3, 0, 1, 0)
    publish_auto_labels(store, head, [pa.table(columns, AUTO_LABELS_SCHEMA)])
    report = export(settings, tmp_path, "label-studio", predictions=True)
    assert report.folder is not None
    assert (report.predictions, report.annotations) == (2, 0)
    tasks = json.loads((report.folder / "tasks.json").read_text())
    found = {task["data"]["key"]: task.get("predictions", [{"result": [{}]}])[0] for task in tasks}
    first, second, _ = rows["key"].to_pylist()
    assert (found[first]["model_version"], found[first]["score"]) == ("auto_labels (neighbour)", 0.75)
    assert (found[second]["model_version"], found[second]["score"]) == ("auto_labels (imagenet)", 0.25)
    assert sum("predictions" in task for task in tasks) == 2


def test_an_export_that_broke_off_is_written_anew(tmp_path: Path) -> None:
    settings = published(tmp_path)
    folder = LabelExport("cvat", "p", tmp_path / "out").folder
    (folder / ".batch-0001.part/images").mkdir(parents=True)
    (folder / ".batch-0001.part/images/half").write_bytes(b"")
    report = export(settings, tmp_path, "cvat")
    assert report.folder is not None
    assert len(list((report.folder / "images").iterdir())) == 3
    (report.folder / "tasks.jsonl").write_text("{")
    with pytest.raises(DatasetError, match="which says what was sent, is missing or damaged"):
        export(settings, tmp_path, "cvat")


def test_two_exports_of_a_project_do_not_write_at_once(tmp_path: Path) -> None:
    settings = published(tmp_path)
    folder = LabelExport("cvat", "p", tmp_path / "out").folder
    folder.mkdir(parents=True)
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(DatasetError, match="another export writes to"):
        export(settings, tmp_path, "cvat")
    os.close(handle)
    assert export(settings, tmp_path, "cvat").exported == 3


def test_names_of_projects_are_folders_of_their_own(tmp_path: Path) -> None:
    names = ["p", "P/../..", "P ..", "", "日本", ".", "a" * 99, "a" * 98]
    folders = [LabelExport("cvat", name, tmp_path).folder for name in names]
    assert len({str(folder).lower() for folder in folders}) == len(names)
    assert {folder.parent for folder in folders} == {tmp_path / "cvat"}
    assert not any(folder.name.startswith(".") for folder in folders)


def test_an_empty_dataset_and_one_without_labels_say_so(tmp_path: Path) -> None:
    settings = published(tmp_path)
    with pytest.raises(ConfigError, match="no labels to offer; name them with --labels"):
        export(settings, tmp_path, "cvat", labels=())
    (tmp_path / "empty/raw").mkdir(parents=True)
    with pytest.raises(DatasetError, match="has no index yet; run it first"):
        export(make_settings_for(tmp_path / "empty"), tmp_path, "cvat")


def test_the_command_line_sends_and_takes_back(tmp_path: Path) -> None:
    assert set(PLATFORM_NAMES) == set(PLATFORMS)
    put(tmp_path, "a/one.png", 1)
    config = tmp_path / "tiny.yaml"
    config.write_text("{name: tiny, source: {path: raw}, store: store, features: {extractor: none}, workers: 0}")
    place = ["--config", str(config), "--json", "--platform", "label-studio"]
    run = CliRunner()
    assert run.invoke(main, ["run", "--config", str(config), "--json"]).exit_code == 0
    sent = run.invoke(main, ["labels", "export", *place, "--only", "all", "--out", str(tmp_path / "out")])
    assert sent.exit_code == 0, sent.output
    answer = json.loads(sent.stdout)
    assert (answer["exported"], answer["labels"], answer["project"]) == (1, ["a"], "tiny")
    back = run.invoke(main, ["labels", "import", *place, str(Path(answer["folder"]) / "tasks.json")])
    assert (json.loads(back.stdout)["untouched"], back.exit_code) == (1, 0)
    missing = run.invoke(main, ["labels", "import", *place, "nothing.json"])
    assert (missing.exit_code, missing.stderr.count("\n")) == (2, 1)


def test_labels_are_named_with_commas_or_a_line_each_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("with, comma\n\n日本\n", encoding="utf-8")
    assert label_names(("a, b,,a", f"@{tmp_path}/names.txt")) == ("a", "b", "with, comma", "日本")
    with pytest.raises(ConfigError, match="cannot be read"):
        label_names((f"@{tmp_path}/none.txt",))
