"""A classifier of labels, made of a dataset's index and vectors: an example of assets of one's own.

dagster dev -w workspace.yaml -w data/examples/workspace.yaml
"""

import os
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa

from image_assets.defs.elsewhere import published_assets
from image_assets.settings import load_settings

HERE = Path(__file__).parent
SETTINGS = load_settings(Path(os.environ.get("EXAMPLE_DATASET", HERE.parent / "datasets" / "photos.yaml")))
FOLDS = 4


class ClassifierConfig(dg.Config):
    """What can be changed in the launchpad."""

    folder: str = str(HERE.parent / "store" / "label_classifier")
    shrinkage: float = 0.01


@dg.asset(
    ins={
        "index": dg.AssetIn(
            [SETTINGS.name, "training_index"], metadata={"columns": ["label", "sha256", "split", "variant"]}
        ),
        "vectors": dg.AssetIn([SETTINGS.name, "feature_vectors"]),
    },
    group_name="examples",
    kinds={"numpy"},
)
def label_classifier(index: pa.Table, vectors: np.ndarray, config: ClassifierConfig) -> dg.MaterializeResult:
    """Tells the label of an image from its vector: ridge regression on the vectors that the dataset has anyway.

    Judged on images that it was not trained on: those of the split `test` where the dataset has splits, else every
    image once, in four parts by the hash of its bytes (so copies of a photograph are in one part).
    """
    rows = np.array([row["label"] is not None and row["variant"] == 0 for row in index.to_pylist()], bool)
    if not rows.any():
        raise dg.Failure("no image of the index has a label; the classifier learns from labels")
    index, vectors = index.filter(pa.array(rows)), vectors[rows]
    names, labels = np.unique(index["label"].to_pylist(), return_inverse=True)
    parts, how = held_out(index)
    told = np.full(len(labels), -1)
    for part in set(parts[parts >= 0]):
        if (parts != part).any():
            model = trained(vectors[parts != part], labels[parts != part], len(names), config.shrinkage)
            told[parts == part] = model.labels(vectors[parts == part])
    # What is kept has learnt from all images but those that only judge.
    taught = parts < 0 if (parts < 0).any() else np.ones(len(parts), bool)
    final = trained(vectors[taught], labels[taught], len(names), config.shrinkage)
    path = Path(config.folder) / "label_classifier.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Texts of a fixed length: the file is read with allow_pickle=False.
    np.savez(path, weights=final.weights, bias=final.bias, center=final.center, labels=names.astype(str))
    judged = told >= 0
    return dg.MaterializeResult(
        metadata={
            "accuracy": round(float((told == labels)[judged].mean()), 3) if judged.any() else None,
            "images": len(labels),
            "judged_images": int(judged.sum()),
            "judged_on": how,
            "guessing": round(float(np.bincount(labels).max() / len(labels)), 3),
            "labels": dg.MetadataValue.md(by_label(names, labels[judged], told[judged])),
            "model": dg.MetadataValue.path(str(path.resolve())),
        }
    )


@dataclass(frozen=True)
class Model:
    """A linear model of normalized vectors; ``weights`` of shape (dim, labels)."""

    weights: np.ndarray
    bias: np.ndarray
    center: np.ndarray

    def labels(self, vectors: np.ndarray) -> np.ndarray:
        """Return the number of the likeliest label of each vector, shape (len(vectors),)."""
        return ((normalized(vectors) - self.center) @ self.weights + self.bias).argmax(axis=1)


def trained(vectors: np.ndarray, labels: np.ndarray, count: int, shrinkage: float) -> Model:
    """Return the least squares fit of which label it is, with weights kept small."""
    inputs, wanted = normalized(vectors), np.eye(count)[labels]
    center, bias = inputs.mean(axis=0), wanted.mean(axis=0)
    inputs = inputs - center
    squares = inputs.T @ inputs + shrinkage * np.eye(inputs.shape[1])
    return Model(np.linalg.solve(squares, inputs.T @ (wanted - bias)), bias, center)


def held_out(index: pa.Table) -> tuple[np.ndarray, str]:
    """Return in which part each image is judged, -1 for those that only teach, and that in words."""
    splits = np.array(index["split"].to_pylist(), object)
    if (splits == "test").any():
        return np.where(splits == "test", 0, -1), "the split test, trained on the others"
    parts = np.array([int(sha256[:8], 16) % FOLDS for sha256 in index["sha256"].to_pylist()])
    return parts, f"each image once, in {FOLDS} parts by content"


def normalized(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1, in double precision."""
    vectors = vectors.astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def by_label(names: np.ndarray, labels: np.ndarray, told: np.ndarray) -> str:
    """Return a table of how many images of each label were told right."""
    lines = ["| label | images | told right | most often told |", "|---|---:|---:|---|"]
    for number, name in enumerate(names):
        mine = told[labels == number]
        if len(mine):
            often = names[np.bincount(mine).argmax()]
            lines.append(f"| {plain(name)} | {len(mine)} | {(mine == number).mean():.0%} | {plain(often)} |")
    return "\n".join(lines)


def plain(name: str) -> str:
    """Return a label as text in a table: labels come from folders' names, and may hold markup."""
    return "".join(char if char.isalnum() or char in " -_." else f"&#{ord(char)};" for char in name)


defs = dg.Definitions.merge(published_assets(SETTINGS), dg.Definitions(assets=[label_classifier]))
