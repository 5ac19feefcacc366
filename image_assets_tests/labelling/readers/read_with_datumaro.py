"""Print what datumaro reads of a folder, as JSON, and write it again; run by its interpreter: FORMAT FOLDER TARGET."""

import json
import sys

import datumaro
from datumaro.components.annotation import AnnotationType


def main() -> None:
    dataset = datumaro.Dataset.import_from(sys.argv[2], sys.argv[1])
    labels = [category.name for category in dataset.categories()[AnnotationType.label].items]
    found = {}
    for item in dataset:
        said = []
        for annotation in item.annotations:
            name = annotation.type.name
            entry = {"kind": name, "label": labels[annotation.label]}
            if name in {"bbox", "polygon"}:
                entry["points"] = [float(value) for value in annotation.points]
            elif name == "mask":
                entry["mask"] = [[int(value) for value in row] for row in annotation.image]
            said.append(entry)
        found[item.id.split("/")[-1]] = {"size": list(item.media.size), "said": said}
    dataset.export(sys.argv[3], sys.argv[1], save_media=True)
    json.dump({"version": datumaro.__version__, "labels": labels, "items": found}, sys.stdout)


main()
