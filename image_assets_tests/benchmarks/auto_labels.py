"""How often told labels are right: labels are held back from a dataset of photographs, and told from the others."""

import argparse
import csv
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from image_assets.pipeline.auto_labels import build_auto_labels
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings, make_settings
from image_assets.storage.auto_labels import iter_auto_labels
from image_assets.storage.store import Store

# What ImageNet calls the labels of the sample photographs, where it has a word for them.
CLASSES = {
    "shoes": {"running shoe", "Loafer", "clog", "sandal", "cowboy boot", "knee pad", "sock"},
    "t-shirt": {"jersey"},
    "pants": {"jean", "pajama"},
    "shorts": {"swimming trunks"},
    "outwear": {"trench coat", "fur coat", "lab coat", "parka", "cardigan", "suit"},
    "longsleeve": {"sweatshirt", "cardigan", "jersey"},
    "shirt": {"jersey", "suit"},
    "dress": {"gown", "miniskirt", "hoopskirt", "overskirt", "vestment"},
}
_CONFIDENCES = (0.0, 0.5, 0.7, 0.9)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many labels are right, of all and of the confident ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=Path("data/photos"), help="folders of images, one a label")
    parser.add_argument("--held-back", type=float, default=0.5, help="part of the labels that is held back (0-1)")
    parser.add_argument("--repeat", type=int, default=5, help="how often other labels are held back")
    options = parser.parse_args(arguments)
    truth = {path.relative_to(options.photos).as_posix(): path.parent.name for path in options.photos.glob("*/*")}
    with tempfile.TemporaryDirectory() as folder:
        told = [tell(options, Path(folder), truth, seed) for seed in range(options.repeat)]
    show("neighbours, labels held back", [row for rows in told for row in rows if not row["has_label"]], "neighbour")
    show("neighbours, the image's own label left out", [row for row in told[0] if row["has_label"]], "neighbour")
    show("ImageNet's classifier, in ImageNet's words", told[0], "imagenet")


def tell(options: Any, folder: Path, truth: dict[str, str], seed: int) -> list[dict[str, Any]]:
    """Return the rows of told labels with the truth."""
    kept = sorted(truth)
    random.Random(seed).shuffle(kept)
    labels = folder / "labels.csv"
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "label"])
        writer.writerows((key, truth[key]) for key in kept[int(len(kept) * options.held_back) :])
    settings = settings_for(options.photos, folder, labels)
    run_dataset(settings)
    build_auto_labels(settings)
    with open_dataset(settings.store) as dataset:
        keys = dataset.table(["key"])["key"].to_pylist()
    rows = [row for piece in iter_auto_labels(Store(settings.store)) for row in piece.to_pylist()]
    return [{**row, "truth": truth[key]} for key, row in zip(keys, rows, strict=True)]


def settings_for(photos: Path, folder: Path, labels: Path) -> Settings:
    """Return settings of a dataset whose labels come from a file."""
    content = {
        "name": "held_back",
        "source": {"path": str(photos.resolve())},
        "store": "store",
        "exports": [],
        "labels": {"kind": "file", "path": str(labels)},
    }
    return make_settings(content, base=folder)


def show(title: str, rows: list[dict[str, Any]], which: str) -> None:
    """Print how many labels of at least each confidence there are, and how many of them are right."""
    print(f"\n{title}: {len(rows)} images")
    print(f"{'confidence':>12} {'told':>8} {'right':>8}")
    for least in _CONFIDENCES:
        sure = [row for row in rows if row[f"{which}_label"] and row[f"{which}_confidence"] >= least]
        right = [row for row in sure if is_right(row, which)]
        print(f"{least:>12} {len(sure) / max(len(rows), 1):>8.1%} {len(right) / max(len(sure), 1):>8.1%}")


def is_right(row: dict[str, Any], which: str) -> bool:
    """Return whether a told label is the true one, or one of ImageNet's words for it."""
    if which == "neighbour":
        return bool(row["neighbour_label"] == row["truth"])
    return row["imagenet_label"] in CLASSES.get(row["truth"], {row["truth"]})


if __name__ == "__main__":
    main()
