"""Every platform: what is written is read again, and a file that is damaged or a trap is one clear line."""

from pathlib import Path

import pytest

from image_assets.core.annotations import Annotation
from image_assets.core.errors import AnnotationError
from image_assets.core.geometry import Box
from image_assets.labelling import PLATFORMS, find_platform
from image_assets.labelling.base import Problem, Task
from image_assets_tests.labelling.examples import (
    RECIPE,
    examples,
    project_of,
    read,
    round_trip,
    sha256_of,
    statements,
    task,
)

every_platform = pytest.mark.parametrize("name", sorted(PLATFORMS))


@every_platform
def test_what_people_said_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    platform, tasks = find_platform(name), examples()[: None if find_platform(name).predictions else -1]
    found = {each.sha256: each for each in round_trip(name, tasks, tmp_path) if isinstance(each, Task)}
    for sent in tasks:
        wanted = statements(sent.of_kinds(platform.kinds))
        back = found.get(sent.sha256[:32])
        assert (statements(back) if back else []) == wanted, sent.key
        assert back is None or (back.recipe_id, back.left_out) == (RECIPE, ())


@every_platform
def test_a_prediction_does_not_come_back_as_what_a_person_said(name: str, tmp_path: Path) -> None:
    if not find_platform(name).predictions:
        pytest.skip(f"{name} has no predictions: an export with them is refused")
    sent = task("predicted", Annotation("cat", Box(1.0, 2.0, 3.0, 4.0), predicted=True), reviewed=False)
    found = round_trip(name, [sent], tmp_path)
    assert not any(isinstance(each, Problem) or each.reviewed or statements(each) for each in found)


@every_platform
def test_no_tasks_are_a_file_without_tasks(name: str, tmp_path: Path) -> None:
    assert round_trip(name, [], tmp_path) == []


@every_platform
def test_the_same_tasks_are_the_same_bytes(name: str, tmp_path: Path) -> None:
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        find_platform(name).write(iter(examples()), folder, project_of(examples()))
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1]


@every_platform
def test_a_file_that_breaks_off_is_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / find_platform(name).file_name
    round_trip(name, examples(), tmp_path)
    whole = path.read_bytes()
    for size_bytes in range(1, len(whole) - 3, len(whole) // 40):
        path.write_bytes(whole[:size_bytes])
        if name == "labelbox" and whole[size_bytes - 1 : size_bytes + 1].count(b"\n"):
            continue
        with pytest.raises(AnnotationError, match=path.name) as error:
            read(name, path)
        assert "\n" not in str(error.value)


@every_platform
@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"<a>" * 1000,
        b"[NaN]",
        b"[1]",
        b'{"images": 3}',
        b'"text"',
        b"null",
        b"PK\x03\x04 no zip",
        b'[{"data": Infinity}]',
        '[{"data": "é"'.encode("latin-1"),
    ],
)
def test_what_is_no_export_is_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd file"
    path.write_bytes(content)
    assert all("odd file" in text and "\n" not in text for text in complaints(name, path))


@every_platform
def test_a_task_of_another_project_is_a_problem_and_the_others_are_read(name: str, tmp_path: Path) -> None:
    good = task("good", Annotation("cat", Box(1.0, 2.0, 3.0, 4.0)))
    round_trip(name, [task("bad", Annotation("cat", Box(1.0, 2.0, 3.0, 4.0))), good], tmp_path)
    path = tmp_path / find_platform(name).file_name
    content = path.read_bytes().replace(f"{sha256_of('bad')[:32]}-{RECIPE}".encode(), b"holiday photo")
    path.write_bytes(content)
    found = read(name, path)
    problems = [each.text for each in found if isinstance(each, Problem)]
    assert len(problems) == 1
    assert path.name in problems[0]
    assert [each.sha256 for each in found if isinstance(each, Task)] == [good.sha256[:32]]


@every_platform
@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e300", "NaN", "9" * 5000, '"x"', "null", "[]", "true"])
def test_a_number_that_is_none_names_the_file_and_the_task(name: str, number: str, tmp_path: Path) -> None:
    round_trip(name, [task("one", Annotation("cat", Box(7.0, 2.0, 30.0, 4.0)))], tmp_path)
    path = tmp_path / find_platform(name).file_name
    places = {"cvat": 'xtl="7.0"', "coco": "[7.0,", "label-studio": '"x": 17.5', "labelbox": '"left": 7.0'}
    with_number = places[name].replace("17.5", number).replace("7.0", number.strip('"') if name == "cvat" else number)
    content = path.read_text(encoding="utf-8")
    assert places[name] in content
    path.write_text(content.replace(places[name], with_number), encoding="utf-8")
    (text,) = complaints(name, path)
    assert path.name in text
    assert sha256_of("one")[:32] in text or "task no. 1" in text or "character" in text or "line 1" in text
    assert len(text) < 400


def complaints(name: str, path: Path) -> list[str]:
    """What is said of a file in which nothing can be read."""
    try:
        found = read(name, path)
    except AnnotationError as error:
        return [str(error)]
    assert not any(isinstance(each, Task) for each in found), found
    return [each.text for each in found if isinstance(each, Problem)]
