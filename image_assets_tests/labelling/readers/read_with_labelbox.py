"""Print what the types of Labelbox's SDK make of an NDJSON file, as JSON; run by an interpreter that has it: FILE.

Each line goes through the SDK's type for it, and what that says through its own converter, which writes it again.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import labelbox.types as lb_types
from labelbox.data.serialization import NDJsonConverter
from labelbox.data.serialization.ndjson.classification import NDChecklist
from labelbox.data.serialization.ndjson.objects import NDMask, NDPolygon, NDRectangle

OBJECTS = {"bbox": NDRectangle, "polygon": NDPolygon, "mask": NDMask}


def describe(value):
    if isinstance(value, lb_types.Rectangle):
        return {"kind": "box", "points": [value.start.x, value.start.y, value.end.x, value.end.y]}
    if isinstance(value, lb_types.Polygon):
        return {"kind": "polygon", "points": [number for point in value.points for number in (point.x, point.y)]}
    if isinstance(value, lb_types.Mask):
        return {"kind": "mask", "mask": (value.mask.value[:, :, 0] > 0).astype(int).tolist()}
    return {"kind": "class", "answers": [answer.name for answer in value.answer]}


def annotation_of(line):
    kind = next((name for name in OBJECTS if name in line), None)
    if kind is None:
        value = NDChecklist.model_validate({**line, "answers": line["answer"]}).to_common()
        return lb_types.ClassificationAnnotation(name=line["name"], value=value)
    made = OBJECTS[kind].model_validate(line)
    return lb_types.ObjectAnnotation(name=made.name, value=made.to_common(), confidence=made.confidence)


def main() -> None:
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").split("\n") if line]
    found, again = [], []
    for line in lines:
        key, annotation = line["dataRow"]["globalKey"], annotation_of(line)
        found.append({"global_key": key, "name": annotation.name, **describe(annotation.value)})
        label = lb_types.Label(data={"global_key": key}, annotations=[annotation])
        again += [
            {name: value for name, value in row.items() if name != "uuid"} for row in NDJsonConverter.serialize([label])
        ]
    json.dump({"version": version("labelbox"), "found": found, "again": again}, sys.stdout)


main()
