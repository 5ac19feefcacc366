"""Models made on the spot: a small ONNX file, weights of PyTorch models drawn at random."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from image_assets.features import EXTRACTORS
from image_assets.settings.features import FeatureSettings

DIM, CLASSES = 6, 4


def write_onnx(path: Path, *, shape: tuple[Any, ...] = ("n", 3, 32, 32), kind: str = "float", seed: int = 0) -> Path:
    """Write a model: a convolution (``map``), its means (``pooled``) and logits of them (``logits``, the output)."""
    rng = np.random.default_rng(seed)
    last = shape[1] != 3
    weights = {
        "kernel": rng.normal(0, 0.3, (DIM, 3, 3, 3)),
        "classifier": rng.normal(0, 1, (DIM, CLASSES)),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["planes"], perm=[0, 3, 1, 2] if last else [0, 1, 2, 3]),
        helper.make_node("Conv", ["planes", "kernel"], ["linear"], strides=[2, 2]),
        helper.make_node("Relu", ["linear"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["means"]),
        helper.make_node("Flatten", ["means"], ["pooled"]),
        helper.make_node("MatMul", ["pooled", "classifier"], ["logits"]),
    ]
    element = {"float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}[kind]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", element, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], CLASSES])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def features_of(name: str, folder: Path) -> FeatureSettings:
    """Return settings for an extractor of each kind, with its model made below a folder."""
    if name in EXTRACTORS:
        return FeatureSettings(extractor=name)
    if name == "onnx:":
        return FeatureSettings(extractor=f"onnx:{write_onnx(folder / 'small.onnx')}", output="pooled")
    library, model = {"timm:": ("timm", "resnet10t"), "torchvision:": ("torchvision", "shufflenet_v2_x0_5")}[name]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}, which is an extra")
    weights = folder / f"{model}.pth"
    if not weights.exists():
        _write_weights(library, model, weights)
    return FeatureSettings(extractor=f"{name}{model}", weights=str(weights))


def _write_weights(library: str, model: str, path: Path) -> None:
    import torch

    torch.manual_seed(0)
    if library == "timm":
        import timm

        module = timm.create_model(model, pretrained=False)
    else:
        from torchvision import models

        module = models.get_model(model, weights=None)
    torch.save(module.state_dict(), path)
