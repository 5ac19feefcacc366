"""FiftyOne: a labelled folder as a dataset, ``compute_metadata``, ``update_samples`` in two processes.

FiftyOne keeps what is known of files and does not follow them. What its own queries give for nothing stands here: a
second run opens the dataset, adds the paths that it does not know, and works on the samples that have no hash yet.
Where the function fails, the sample stays without one and the run goes on, which is FiftyOne's default.
"""

import csv
from functools import partial
from pathlib import Path

import fiftyone as fo

from image_assets_tests.benchmarks.peers.scripts.job import run_script
from image_assets_tests.benchmarks.peers.scripts.picture import prepare_file

_NAME = "photos"


def main(folder: Path, output: Path) -> None:
    photos = _dataset(folder)
    photos.compute_metadata(num_workers=2, progress=False)
    waiting = photos.exists("sha256", False)
    waiting.update_samples(partial(_finish, output=output), parallelize_method="process", num_workers=2, progress=False)
    _write_labels(photos, output)


def _dataset(folder: Path) -> fo.Dataset:
    if not fo.dataset_exists(_NAME):
        kind = fo.types.ImageClassificationDirectoryTree
        photos = fo.Dataset.from_dir(str(folder), kind, name=_NAME, persistent=True, progress=False)
        photos.add_sample_field("sha256", fo.StringField)
        return photos
    photos = fo.load_dataset(_NAME)
    known = set(photos.values("filepath"))
    new = [path for path in sorted(folder.rglob("*.jpg")) if str(path) not in known]
    labelled = [fo.Sample(str(path), ground_truth=fo.Classification(label=path.parent.name)) for path in new]
    photos.add_samples(labelled, progress=False)
    return photos


def _finish(sample: fo.Sample, output: Path) -> None:
    row = prepare_file(sample.filepath)
    target = output / row["key"]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(row["jpeg"])
    sample["sha256"] = row["sha256"]


def _write_labels(photos: fo.Dataset, output: Path) -> None:
    """Write the table beside the files; one line a finished sample."""
    finished = photos.exists("sha256")
    columns = finished.values(["filepath", "ground_truth.label", "sha256"])
    with (output / "labels.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["key", "label", "sha256"])
        for path, label, sha256 in zip(*columns, strict=True):
            writer.writerow([f"{label}/{Path(path).name}", label, sha256])


if __name__ == "__main__":
    run_script(main)
