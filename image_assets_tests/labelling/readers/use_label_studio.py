"""Import an export into a running Label Studio, annotate it there and export it; run by an interpreter with its SDK.

URL TOKEN FOLDER TARGET: the folder has tasks.json and label_config.xml, the export goes to the file TARGET. Every
prediction is accepted, every other task is submitted as it is, each image is fetched. Prints what was found, as JSON.
"""

import json
import sys
import urllib.request
from importlib.metadata import version
from pathlib import Path

from label_studio_sdk import LabelStudio
from label_studio_sdk.converter.brush import decode_rle


def main() -> None:
    url, token, folder, target = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    client = LabelStudio(base_url=url, api_key=token)
    config = (folder / "label_config.xml").read_text(encoding="utf-8")
    project = client.projects.create(title="sent", label_config=config)
    client.import_storage.local.create(project=project.id, path=str(folder / "images"), use_blob_urls=True)
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    client.projects.import_tasks(id=project.id, request=tasks)
    found = {"label_studio": version("label-studio"), "tasks": 0, "predictions": 0, "annotations": 0, "images": 0}
    for listed in client.tasks.list(project=project.id, fields="all"):
        task = client.tasks.get(id=listed.id)
        found["tasks"] += 1
        found["annotations"] += len(task.annotations)
        found["predictions"] += len(task.predictions)
        result = [dict(each) for prediction in task.predictions for each in prediction.result]
        if not task.annotations:
            client.annotations.create(id=task.id, result=result, was_cancelled=False)
        request = urllib.request.Request(f"{url}{task.data['image']}", headers={"Authorization": f"Token {token}"})
        with urllib.request.urlopen(request) as answer:
            found["images"] += answer.read(2) in (b"\xff\xd8", b"\x89P")
    exported = client.projects.exports.as_json(project.id)
    target.write_text(json.dumps(exported), encoding="utf-8")
    found["masks"] = [
        decode_rle(result["value"]["rle"])
        .reshape(result["original_height"], result["original_width"], 4)[:, :, 3]
        .tolist()
        for task in exported
        for annotation in task["annotations"]
        for result in annotation["result"]
        if "rle" in result["value"]
    ]
    json.dump(found, sys.stdout)


main()
