"""What others make of what is written for them: datumaro, the types of Labelbox's SDK, and a Label Studio server.

Each wants packages that do not fit beside ours, so each runs in an environment of its own, named by a variable:

    python -m venv ~/datumaro && ~/datumaro/bin/pip install datumaro
    python -m venv ~/labelbox && ~/labelbox/bin/pip install 'labelbox[data]'
    python -m venv ~/studio && ~/studio/bin/pip install label-studio
    IMAGE_ASSETS_DATUMARO=~/datumaro/bin/python IMAGE_ASSETS_LABELBOX=~/labelbox/bin/python \\
        IMAGE_ASSETS_LABEL_STUDIO=~/studio/bin/python python -m pytest image_assets_tests/labelling/test_ecosystem.py
"""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_assets.core.annotations import Annotation
from image_assets.core.geometry import Box, Polygon
from image_assets.core.masks import Mask
from image_assets.labelling import find_platform
from image_assets.labelling.base import Task
from image_assets_tests.labelling.examples import RECIPE, SIZE, examples, project_of, read, rounded, statements

READERS = Path(__file__).parent / "readers"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
STARTED_WITHIN_S = 300


def interpreter(variable: str) -> str:
    if not (path := os.environ.get(variable)):
        pytest.skip(f"{variable} names no interpreter; see the first lines of {Path(__file__).name}")
    return str(Path(path).expanduser())


def answer(python: str, script: str, *arguments: object) -> Any:
    done = subprocess.run([python, READERS / script, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def written(name: str, folder: Path, tasks: list[Task]) -> Path:
    """Write tasks and their images as an export does."""
    (folder / "images").mkdir(parents=True)
    for each in tasks:
        Image.new("RGB", SIZE).save(folder / each.file)
    platform, names = find_platform(name), sorted(each.name for each in tasks)
    sent = [replace(each.of_kinds(platform.kinds), place=names.index(each.name)) for each in tasks]
    platform.write(iter(sent), folder, project_of(tasks))
    return folder


def plain(annotation: Annotation) -> tuple[str, str, Any]:
    """Kind, label and place of an annotation, as the readers print them."""
    geometry = annotation.geometry
    if isinstance(geometry, Mask):
        return "mask", annotation.label, geometry.bits().astype(int).tolist()
    if isinstance(geometry, Box):
        return "bbox", annotation.label, [geometry.left, geometry.top, geometry.right, geometry.bottom]
    if isinstance(geometry, Polygon):
        return "polygon", annotation.label, [value for point in geometry.points for value in point]
    return "label", annotation.label, None


@pytest.mark.parametrize("name", ["cvat", "coco"])
def test_datumaro_reads_what_was_written(name: str, tmp_path: Path) -> None:
    python = interpreter("IMAGE_ASSETS_DATUMARO")
    tasks = [each.without_predictions() for each in examples()]
    folder = written(name, tmp_path / "sent", tasks)
    if name == "coco":
        # As CVAT's ZIP file has it.
        (folder / "annotations").mkdir()
        (folder / "instances_default.json").rename(folder / "annotations/instances_default.json")
        (folder / "images").rename(folder / "default")
        (folder / "images").mkdir()
        (folder / "default").rename(folder / "images/default")
    found = answer(python, "read_with_datumaro.py", name, folder, tmp_path / "again")
    print(f"datumaro {found['version']} read {len(found['items'])} images of {name}")
    assert len(found["items"]) == len(tasks)
    for sent in tasks:
        item = found["items"][f"{sent.sha256[:32]}-{RECIPE}"]
        assert item["size"] == [SIZE[1], SIZE[0]]
        wanted = [plain(each) for each in sent.of_kinds(find_platform(name).kinds).annotations]
        said = [(each["kind"], each["label"], each.get("points", each.get("mask"))) for each in item["said"]]
        if name == "coco" and not any(kind == "bbox" for kind, _, _ in wanted):
            # It makes a box of every polygon and mask as well.
            said = [each for each in said if each[0] != "bbox"]
        said, wanted = (sorted(each, key=lambda one: one[:2]) for each in (said, wanted))
        assert [each[:2] for each in said] == [each[:2] for each in wanted], sent.key
        for (_, _, place), (_, _, other) in zip(said, wanted, strict=True):
            # Datumaro keeps two decimals of a polygon.
            assert place is other is None or np.allclose(place, other, atol=0.006)
    refuse_another_word(name, next((tmp_path / "again").rglob(find_platform(name).file_name)), tasks)


def refuse_another_word(name: str, path: Path, tasks: list[Task]) -> None:
    """Accept a file that datumaro wrote, if what we read of it is what was said, at two decimals."""
    back = {each.sha256: each for each in read(name, path) if isinstance(each, Task)}
    for sent in tasks:
        # Of that box two decimals leave no area.
        if sent.key != "thin":
            wanted, got = (
                sorted(str((label, rounded(place, 2))) for label, place in statements(each))
                for each in (sent.of_kinds(find_platform(name).kinds), back[sent.sha256[:32]])
            )
            assert got == wanted, sent.key


def test_the_types_of_labelbox_read_what_was_written_and_write_the_same(tmp_path: Path) -> None:
    python = interpreter("IMAGE_ASSETS_LABELBOX")
    folder = written("labelbox", tmp_path / "sent", examples())
    for name in ("annotations.ndjson", "predictions.ndjson"):
        ours = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        found = answer(python, "read_with_labelbox.py", folder / name)
        print(f"labelbox {found['version']} read {len(found['found'])} lines of {name} and wrote the same")
        assert found["again"] == [{key: line[key] for key in line if key != "uuid"} for line in ours]
        assert [each["global_key"] for each in found["found"]] == [each["dataRow"]["globalKey"] for each in ours]
    masks = [each.geometry for sent in examples() for each in sent.annotations if isinstance(each.geometry, Mask)]
    read_masks = answer(python, "read_with_labelbox.py", folder / "annotations.ndjson")["found"]
    assert [each["mask"] for each in read_masks if "mask" in each] == [
        mask.bits().astype(int).tolist() for mask in masks
    ]


def test_a_label_studio_server_takes_the_tasks_and_gives_back_what_people_said(tmp_path: Path) -> None:
    python = interpreter("IMAGE_ASSETS_LABEL_STUDIO")
    every = examples()
    # One that only a model spoke of, which the script accepts; of the rest the annotations are there already.
    every[-1] = replace(every[-1], reviewed=False)
    folder = written("label-studio", tmp_path / "sent", every)
    with label_studio(python, tmp_path, folder) as url:
        found = answer(python, "use_label_studio.py", url, TOKEN, folder, tmp_path / "back.json")
    counts = {name: value for name, value in found.items() if name != "masks"}
    print(counts)
    assert (counts["tasks"], counts["images"]) == (len(every), len(every))
    assert (counts["predictions"], counts["annotations"]) == (1, len(every) - 2)
    back = {each.sha256: each for each in read("label-studio", tmp_path / "back.json") if isinstance(each, Task)}
    for sent in every:
        assert back[sent.sha256[:32]].reviewed
        wanted = statements(sent) + statements(sent, predicted=True)
        assert statements(back[sent.sha256[:32]]) == wanted, sent.key
    masks = [each.geometry for sent in every for each in sent.annotations if isinstance(each.geometry, Mask)]
    decoded = sorted((np.array(mask) > 0).tolist() for mask in found["masks"])
    assert decoded == sorted(mask.bits().tolist() for mask in masks)


@contextmanager
def label_studio(python: str, folder: Path, files: Path) -> Iterator[str]:
    """A server of its own, with one user, that serves the files of an export."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(files),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    command = [str(Path(python).parent / "label-studio"), "start", "--no-browser", "--data-dir", str(folder / "data")]
    command += ["--host", url.rpartition(":")[0], "--internal-host", "127.0.0.1", "--port", str(port)]
    command += ["--username", "a@example.org", "--password", "secretsecret1", "--user-token", TOKEN]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + STARTED_WITHIN_S
        while not answers(f"{url}/health"):
            assert server.poll() is None, (folder / "server.log").read_text()[-3000:]
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(20)
        server.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as found:
            return bool(found.status == 200)
    except (urllib.error.URLError, OSError):
        return False
