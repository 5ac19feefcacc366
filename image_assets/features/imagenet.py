"""The thousand classes of ImageNet as the default extractor's classifier tells them."""

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError

# A line a class, in the classifier's order: WordNet id, and the first of its names. From PyTorch Image Models (timm,
# Apache-2.0), which has the names from WordNet 3.0. Two names are there twice and have their ids behind them.
_FILE = "imagenet_classes.tsv"
NUM_CLASSES = 1000


@cache
def class_names() -> tuple[str, ...]:
    """Return the names of the classes, in the order of the logits.

    Raises:
        ConfigError: the installed package lacks them.
    """
    try:
        text = (resources.files("image_assets.features") / _FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the names of the ImageNet classes are not installed ({error}); install again") from error
    return tuple(line.split("\t")[1] for line in text.splitlines())


class Classifier:
    """The last layer of the default extractor: classes of embeddings that are there, without another look at images."""

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Take what :func:`image_assets.features.efficientnet_lite0.read_classifier` returns."""
        self._weight = weight
        self._bias = bias

    def classify(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the most likely class of each embedding, shape (n, 1280), and its softmax, 0-1."""
        logits = vectors @ self._weight.T + self._bias
        best = logits.argmax(axis=1)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        confidence: NDArray[np.float32] = 1 / odds.sum(axis=1)
        return best, confidence
