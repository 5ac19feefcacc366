"""What one platform has that the others have not: XML traps, several annotators, run lengths of its own."""

import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_assets.core.annotations import Annotation
from image_assets.core.errors import AnnotationError
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import mask_from_bits
from image_assets.labelling import find_platform
from image_assets.labelling.base import Problem, Task
from image_assets.labelling.brush_rle import decode_brush, encode_brush
from image_assets_tests.labelling.examples import RECIPE, blob, project_of, read, round_trip, rounded, sha256_of, task

NAME = f"{sha256_of('one')[:32]}-{RECIPE}"
BOMB = """<?xml version="1.0"?>
<!DOCTYPE annotations [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">]>
<annotations><image id="0" name="&d;" width="1" height="1"></image></annotations>"""
EXTERNAL = """<!DOCTYPE annotations [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<annotations><image id="0" name="&x;" width="1" height="1"></image></annotations>"""


def cvat_file(tmp_path: Path, shapes: str, size: str = 'width="40" height="30"') -> Path:
    path = tmp_path / "a.xml"
    path.write_text(f'<annotations><image id="0" name="x/{NAME}.jpg" {size}>{shapes}</image></annotations>')
    return path


def only(found: list[Task | Problem]) -> Task:
    (one,) = found
    assert isinstance(one, Task), one
    return one


@pytest.mark.parametrize("text", [BOMB, EXTERNAL])
def test_xml_with_a_document_type_is_refused_before_anything_is_expanded(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=r"bomb\.xml has a document type"):
        read("cvat", path)


def test_the_encoding_that_xml_names_is_not_looked_up(tmp_path: Path) -> None:
    path = cvat_file(tmp_path, '<tag label="日本"/>')
    path.write_bytes(b'<?xml version="1.0" encoding="rot13"?>' + path.read_bytes())
    assert only(read("cvat", path)).annotations == (Annotation("日本"),)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ('<box label="a" xtl="1" ytl="1" xbr="1" ybr="5"/>', "no area"),
        ('<box label="" xtl="1" ytl="1" xbr="2" ybr="5"/>', "its label"),
        ('<box label="a" xtl="1" ytl="1" xbr="2"/>', "ybr is None"),
        ('<polygon label="a" points="1,1;2,2"/>', "2 points"),
        ('<polygon label="a" points="1,1;2,2;3"/>', "each is x,y"),
        ('<polygon label="a" points=""/>', "each is x,y"),
        ('<mask label="a" rle="5" left="0" top="0" width="2" height="2"/>', "other lengths"),
        ('<mask label="a" rle="1,-1,4" left="0" top="0" width="2" height="2"/>', "other lengths"),
        ('<mask label="a" rle="x" left="0" top="0" width="2" height="2"/>', "run lengths"),
        ('<mask label="a" rle="99999999999999999999,4" left="0" top="0" width="2" height="2"/>', "run lengths"),
        ('<mask label="a" rle="0,4" left="39" top="0" width="2" height="2"/>', "does not lie"),
        ('<mask label="a" rle="0,4" left="-1" top="0" width="2" height="2"/>', "does not lie"),
        ('<mask label="a" rle="0,4" left="0" top="0" width="41" height="2"/>', "41 x 2"),
        (f'<tag label="{"x" * 2000}"/>', "1000 characters"),
    ],
)
def test_a_shape_of_cvat_that_cannot_be_is_a_problem_of_its_image(shape: str, why: str, tmp_path: Path) -> None:
    (problem,) = read("cvat", cvat_file(tmp_path, f'<tag label="fine"/>{shape}'))
    assert isinstance(problem, Problem)
    assert problem.text.startswith(f"a.xml, image 'x/{NAME}.jpg': ")
    assert why in problem.text


def test_a_mask_of_cvat_on_a_huge_image_is_refused_without_its_pixels(tmp_path: Path) -> None:
    shape = '<mask label="a" rle="0,4" left="0" top="0" width="2" height="2"/>'
    (problem,) = read("cvat", cvat_file(tmp_path, shape, size='width="1000000" height="1000000"'))
    assert isinstance(problem, Problem)
    assert "the limit is" in problem.text


def test_shapes_of_cvat_that_no_annotation_holds_are_named(tmp_path: Path) -> None:
    shapes = (
        '<polyline label="a" points="1,1;2,2"/><points label="a" points="1,1"/><tag label="b"/><ellipse label="c"/>'
    )
    found = only(read("cvat", cvat_file(tmp_path, shapes)))
    assert found.left_out == ("polyline", "points", "ellipse")
    assert [each.label for each in found.annotations] == ["b"]


def test_a_turned_box_becomes_a_polygon(tmp_path: Path) -> None:
    shape = '<box label="a" xtl="10" ytl="10" xbr="20" ybr="14" rotation="90.0" occluded="1"/>'
    (found,) = only(read("cvat", cvat_file(tmp_path, shape))).annotations
    assert rounded(found.geometry) == Polygon(((17.0, 7.0), (17.0, 17.0), (13.0, 17.0), (13.0, 7.0)))
    assert found.attributes == '{"occluded":true}'


def test_the_zip_that_cvat_makes_is_read_as_it_is(tmp_path: Path) -> None:
    path = cvat_file(tmp_path, '<tag label="b"><attribute name="colour">red</attribute></tag>')
    with zipfile.ZipFile(tmp_path / "task.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "annotations.xml")
        archive.writestr("images/x.jpg", b"jpeg")
    (found,) = only(read("cvat", tmp_path / "task.zip")).annotations
    assert (found.label, found.attributes) == ("b", '{"colour":"red"}')


def test_a_label_that_xml_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="rename that label"):
        round_trip("cvat", [task("one", Annotation("bell \x07"))], tmp_path)


def coco_file(tmp_path: Path, **changes: Any) -> Path:
    content: dict[str, Any] = {
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "segmentation": []}],
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "images": [{"id": 7, "file_name": f"{NAME}.jpg", "width": 40, "height": 30}],
        "categories": [{"id": 3, "name": "cat"}],
        **changes,
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    return path


def test_coco_is_read_whatever_the_order_of_its_arrays(tmp_path: Path) -> None:
    assert only(read("coco", coco_file(tmp_path))).annotations == (Annotation("cat", Box(1.0, 2.0, 4.0, 6.0)),)


def test_one_object_of_coco_in_two_polygons_is_two_that_say_so(tmp_path: Path) -> None:
    rings = [[0, 0, 4, 0, 4, 4], [9, 9, 12, 9, 12, 12]]
    annotation = {"id": 5, "image_id": 7, "category_id": 3, "segmentation": rings, "attributes": {"occluded": False}}
    found = only(read("coco", coco_file(tmp_path, annotations=[annotation]))).annotations
    assert [each.attributes for each in found] == ['{"object":5}'] * 2


def test_a_mask_of_coco_may_have_its_counts_as_numbers(tmp_path: Path) -> None:
    mask = blob(5)
    segmentation = {"size": [30, 40], "counts": mask.counts().tolist()}
    annotation = {"id": 5, "image_id": 7, "category_id": 3, "iscrowd": 1, "segmentation": segmentation}
    assert only(read("coco", coco_file(tmp_path, annotations=[annotation]))).annotations == (Annotation("cat", mask),)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"images": []}, "0 times among the images"),
        ({"categories": []}, "which no category has"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3]}]}, "left, top, width, height"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": [[1, 2, 3]]}]}, "x, y, x, y"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": 3}]}, "list of polygons"),
        (
            {"annotations": [{"image_id": 7, "category_id": 3, "segmentation": {"size": [40, 30], "counts": [1200]}}]},
            "size is",
        ),
        (
            {"annotations": [{"image_id": 7, "category_id": 3, "segmentation": {"size": [30, 40], "counts": [1]}}]},
            "other lengths",
        ),
        (
            {"annotations": [{"image_id": 7, "category_id": 3, "segmentation": {"size": [30, 40], "counts": "~~"}}]},
            "RLE",
        ),
        ({"images": [{"id": 7, "file_name": f"{NAME}.jpg", "width": -1, "height": 30}]}, "its width"),
    ],
)
def test_what_coco_cannot_mean_is_a_problem_of_its_image(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    (problem,) = read("coco", coco_file(tmp_path, **changes))
    assert isinstance(problem, Problem)
    assert "a.json, image 7" in problem.text
    assert why in problem.text


def studio_file(tmp_path: Path, annotations: list[dict[str, Any]], **data: Any) -> Path:
    path = tmp_path / "a.json"
    # What an upload makes of a name, and a task without the data that the export gave it.
    made = {"image": f"/data/upload/1/0a1b2c3d-{NAME}.jpg", **data}
    path.write_text(json.dumps([{"id": 12, "data": made, "annotations": annotations}]))
    return path


def studio_result(kind: str, value: dict[str, Any], **changes: Any) -> dict[str, Any]:
    size = {"original_width": 40, "original_height": 30, "image_rotation": 0}
    return {"id": "r", "type": kind, "value": value, "from_name": "x", "to_name": "image", **size, **changes}


def test_of_several_annotators_the_last_counts_unless_one_is_the_ground_truth(tmp_path: Path) -> None:
    def by(label: str, second: int, **more: Any) -> dict[str, Any]:
        time = f"2026-01-01T00:00:0{second}.5Z"
        return {"result": [studio_result("choices", {"choices": [label]})], "updated_at": time, **more}

    later = [by("a", 1), by("b", 3, completed_by={"id": 1, "email": "b@example.org"}), by("c", 9, was_cancelled=True)]
    (found,) = only(read("label-studio", studio_file(tmp_path, later))).annotations
    assert (found.label, found.annotator, found.made_at) == ("b", "b@example.org", "2026-01-01T00:00:03.500000+00:00")
    truth = [by("a", 1, ground_truth=True), by("b", 3)]
    assert only(read("label-studio", studio_file(tmp_path, truth))).annotations[0].label == "a"


def test_a_task_of_label_studio_that_was_submitted_empty_was_reviewed_and_a_skipped_one_not(tmp_path: Path) -> None:
    size = {"width_px": 40, "height_px": 30}
    assert only(read("label-studio", studio_file(tmp_path, [{"result": []}], **size))).reviewed
    skipped = [{"result": [], "was_cancelled": True}]
    assert not only(read("label-studio", studio_file(tmp_path, skipped, **size))).reviewed


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (studio_result("choices", {"choices": [""]}), "no text"),
        (studio_result("choices", {"choices": ["\ud800"]}), "no Unicode text"),
        (studio_result("rectanglelabels", {"x": 1, "y": 1, "width": 0, "height": 5, "rectanglelabels": ["a"]}), "area"),
        (studio_result("polygonlabels", {"points": [[1, 2], [3]], "polygonlabels": ["a"]}), "points"),
        (studio_result("brushlabels", {"format": "rle", "rle": [1, 2], "brushlabels": ["a"]}), "breaks off"),
        (studio_result("brushlabels", {"format": "rle", "rle": [0, 0, 0, 4] + [0] * 9, "brushlabels": ["a"]}), "bytes"),
        (studio_result("brushlabels", {"format": "rle", "rle": ["x"], "brushlabels": ["a"]}), "0 to 255"),
        (studio_result("choices", {"choices": ["a"]}, image_rotation=90), "turned"),
        (studio_result("choices", {"choices": ["a"]}, original_width=0), "original_width"),
    ],
)
def test_what_label_studio_cannot_mean_is_a_problem_of_its_task(
    result: dict[str, Any], why: str, tmp_path: Path
) -> None:
    (problem,) = read("label-studio", studio_file(tmp_path, [{"result": [result]}]))
    assert isinstance(problem, Problem)
    assert "a.json, task 12" in problem.text
    assert why in problem.text


def test_another_sha256_than_that_of_the_image_is_a_problem(tmp_path: Path) -> None:
    (problem,) = read("label-studio", studio_file(tmp_path, [], sha256="f" * 64))
    assert isinstance(problem, Problem)
    assert "its sha256 is" in problem.text


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (40, 30), (500, 375)])
@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
def test_a_brush_mask_is_what_it_was(size: tuple[int, int], density: float) -> None:
    bits = np.random.default_rng(1).random((size[1], size[0])) < density
    assert np.array_equal(decode_brush(encode_brush(bits), *size), bits)


def test_a_brush_mask_with_words_that_differ_is_read_at_any_bit() -> None:
    # As the editor writes it, whose pixels have colours: two pixels, (255, 87, 51, 255) as different words, then zeros.
    header = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    bits = (
        header + f"0{0:02b}{3:03b}" + "".join(f"{word:08b}" for word in (255, 87, 51, 255)) + f"1{0:02b}{3:03b}{0:08b}"
    )
    data = [int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)]
    assert decode_brush(data, 2, 1).tolist() == [[True, False]]


def labelbox_row(**changes: Any) -> dict[str, Any]:
    box = {"name": "cat", "annotation_kind": "ImageBoundingBox", "feature_id": "f1"}
    annotations = {
        "objects": [
            {**box, "bounding_box": {"top": 2.0, "left": 1.0, "height": 4.0, "width": 3.0}},
            {"name": "cat", "annotation_kind": "ImageSegmentationMask", "mask": {"url": "https://example.org/m.png"}},
            {"name": "way", "annotation_kind": "ImagePolyline", "line": [{"x": 1, "y": 2}]},
        ],
        "classifications": [
            {"name": "class", "checklist_answers": [{"name": "a", "value": "a"}, {"name": "b", "value": "b"}]},
            {"name": "weather", "radio_answer": {"name": "rain", "value": "rain"}},
            {"name": "notes", "text_answer": {"content": "x"}},
        ],
        "relationships": [],
    }
    details = {"created_at": "2024-04-08T16:21:26.000+00:00", "created_by": "user@example.org"}
    label = {"label_kind": "Default", "id": "l1", "label_details": details, "annotations": annotations}
    return {
        "data_row": {"id": "d1", "global_key": NAME, "row_data": "https://example.org/x.jpg"},
        "media_attributes": {"height": 30, "width": 40, "mime_type": "image/jpeg"},
        "projects": {"p1": {"name": "one", "labels": [label]}},
        **changes,
    }


def test_a_data_row_of_a_labelbox_export_is_read_and_its_masks_at_urls_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text(json.dumps(labelbox_row()) + "\n")
    found = only(read("labelbox", tmp_path / "a.ndjson"))
    assert [(each.label, each.kind) for each in found.annotations] == [
        ("cat", "box"),
        ("a", "class"),
        ("b", "class"),
        ("rain", "class"),
    ]
    assert found.left_out == ("mask at a URL", "ImagePolyline", "text")
    assert found.annotations[0].annotator == "user@example.org"
    assert found.reviewed


def test_a_data_row_in_several_projects_wants_the_name_of_one(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text(json.dumps(labelbox_row(projects={"p1": {"name": "x"}, "p2": {"name": "y"}})))
    (problem,) = read("labelbox", tmp_path / "a.ndjson")
    assert isinstance(problem, Problem)
    assert "--project" in problem.text


@pytest.mark.parametrize("name", ["cvat", "coco", "label-studio", "labelbox"])
def test_ten_times_the_tasks_take_no_more_memory(name: str, tmp_path: Path) -> None:
    mask = mask_from_bits(np.tri(30, 40, dtype=bool))

    def tasks(count: int) -> Iterator[Task]:
        for number in range(count):
            yield task(f"{number}", Annotation("cat", Box(1.0, 2.0, 3.0, 4.0)), Annotation("0", mask))

    peaks = []
    for count in (20, 200):
        folder, scratch = tmp_path / str(count), tmp_path / f"scratch {count}"
        folder.mkdir()
        scratch.mkdir()
        platform = find_platform(name)
        tracemalloc.start()
        platform.write(tasks(count), folder, project_of([]))
        read_back = sum(isinstance(each, Task) for each in platform.read(folder / platform.file_name, scratch, ""))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert read_back == count
    assert peaks[1] < peaks[0] + 2**20, peaks


def test_the_mask_of_one_pixel_is_where_it_was(tmp_path: Path) -> None:
    bits = np.zeros((30, 40), bool)
    bits[29, 39] = True
    sent = task("corner", Annotation("cat", mask_from_bits(bits)))
    for name in ("cvat", "coco", "label-studio"):
        (tmp_path / name).mkdir()
        assert only(round_trip(name, [sent], tmp_path / name)).annotations[0].geometry == mask_from_bits(bits), name
