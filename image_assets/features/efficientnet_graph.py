"""EfficientNet-Lite0 as an ONNX graph, made from its trained tensors with batch normalisation folded in.

The architecture is that of Tan and Le, "EfficientNet" (ICML 2019) in the Lite variant: no squeeze-and-excitation,
ReLU6 throughout, padding as TensorFlow's SAME.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError

IMAGE_SIZE_PX = 224
EMBEDDING_DIM = 1280
NUM_CLASSES = 1000

_BATCH_NORM_EPSILON = 1e-3
# Blocks a stage and the stride of its first one; the other blocks add their input to their result.
_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
_OPSET_VERSION = 17  # the oldest onnxruntime that is allowed reads this, whatever onnx writes by default
_IR_VERSION = 8


def build_onnx(state: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the network as a serialised ONNX model.

    Its input is ``images`` (n, 224, 224, 3) uint8 RGB; its outputs are ``embedding`` (n, 1280), the pooled last
    feature map, and ``logits`` (n, 1000), both float32.

    Raises:
        ConfigError: a tensor is missing.
    """
    graph = _GraphWriter(state)
    graph.add_normalisation("images", to="normalised")
    graph.add_conv("normalised", ("_conv_stem", "_bn0"), to="stem", stride=2)
    features = "stem"
    number = 0
    for num_blocks, stride in _STAGES:
        for position in range(num_blocks):
            features = graph.add_block(features, number, stride=1 if position else stride, residual=position > 0)
            number += 1
    graph.add_conv(features, ("_conv_head", "_bn1"), to="head")
    graph.add_head("head")
    return graph.serialised()


def classifier_of(state: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weight, shape (1000, 1280), and bias, shape (1000,), of the last layer.

    Raises:
        ConfigError: a tensor is missing.
    """
    return _tensor(state, "_fc.weight"), _tensor(state, "_fc.bias")


def folded_conv(
    state: Mapping[str, NDArray[Any]], conv: str, batch_norm: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weight and bias of the one convolution that does what a convolution and its batch normalisation do.

    Raises:
        ConfigError: a tensor is missing.
    """
    scale, shift, mean, variance = (
        _tensor(state, f"{batch_norm}.{name}").astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + _BATCH_NORM_EPSILON)
    weight = _tensor(state, f"{conv}.weight") * factor[:, None, None, None]
    return weight.astype(np.float32), (shift - mean * factor).astype(np.float32)


class _GraphWriter:
    """Collects nodes and constants, and follows the feature map's size through the network."""

    def __init__(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._state = state
        self._nodes: list[Any] = []
        self._constants: dict[str, NDArray[Any]] = {
            "relu6_low": np.array(0, np.float32),
            "relu6_high": np.array(6, np.float32),
        }
        self._size_px = IMAGE_SIZE_PX

    def add_normalisation(self, source: str, *, to: str) -> None:
        """Make uint8 pixels (n, h, w, 3) what the network was trained on: (x - 127) / 128, channels first."""
        from onnx import TensorProto

        self._constants["pixel_mean"] = np.array(127, np.float32)
        self._constants["pixel_scale"] = np.array(128, np.float32)
        self._add("Cast", (source,), "pixels", to=TensorProto.FLOAT)
        self._add("Sub", ("pixels", "pixel_mean"), "centred")
        self._add("Div", ("centred", "pixel_scale"), "scaled")
        self._add("Transpose", ("scaled",), to, perm=[0, 3, 1, 2])

    def add_block(self, source: str, number: int, *, stride: int, residual: bool) -> str:
        """Add one inverted residual block and return the name of its result."""
        block, result = f"_blocks.{number}", f"block{number}"
        wide = source
        if number > 0:  # the first block does not expand
            wide = f"{result}_wide"
            self.add_conv(source, (f"{block}._expand_conv", f"{block}._bn0"), to=wide)
        deep, narrow = f"{result}_deep", f"{result}_narrow"
        self.add_conv(wide, (f"{block}._depthwise_conv", f"{block}._bn1"), to=deep, stride=stride)
        self.add_conv(deep, (f"{block}._project_conv", f"{block}._bn2"), to=narrow, relu6=False)
        if not residual:
            return narrow
        self._add("Add", (narrow, source), result)
        return result

    def add_conv(self, source: str, parts: tuple[str, str], *, to: str, stride: int = 1, relu6: bool = True) -> None:
        """Add a convolution with its batch normalisation folded in; ``parts`` name the two in the weights."""
        weight, bias = folded_conv(self._state, *parts)
        self._constants[f"{to}_weight"], self._constants[f"{to}_bias"] = weight, bias
        kernel_size = weight.shape[2]
        depthwise = weight.shape[1] == 1
        before, after = _same_padding(self._size_px, kernel_size, stride)
        self._size_px = -(-self._size_px // stride)
        self._add(
            "Conv",
            (source, f"{to}_weight", f"{to}_bias"),
            f"{to}_linear" if relu6 else to,
            group=len(weight) if depthwise else 1,
            kernel_shape=[kernel_size, kernel_size],
            pads=[before, before, after, after],
            strides=[stride, stride],
        )
        if relu6:
            self._add("Clip", (f"{to}_linear", "relu6_low", "relu6_high"), to)

    def add_head(self, source: str) -> None:
        """Add the pooled embedding and, from it, the logits."""
        self._constants["classifier_weight"] = _tensor(self._state, "_fc.weight")
        self._constants["classifier_bias"] = _tensor(self._state, "_fc.bias")
        self._add("GlobalAveragePool", (source,), "pooled")
        self._add("Flatten", ("pooled",), "embedding")
        self._add("Gemm", ("embedding", "classifier_weight", "classifier_bias"), "logits", transB=1)

    def serialised(self) -> bytes:
        """Return everything added so far as the bytes of one model."""
        from onnx import TensorProto, helper, numpy_helper

        size = IMAGE_SIZE_PX
        graph = helper.make_graph(
            self._nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", size, size, 3])],
            [
                helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", EMBEDDING_DIM]),
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", NUM_CLASSES]),
            ],
            [numpy_helper.from_array(value, name) for name, value in self._constants.items()],
        )
        opset = helper.make_opsetid("", _OPSET_VERSION)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="image_assets")
        return bytes(model.SerializeToString(deterministic=True))

    def _add(self, kind: str, sources: tuple[str, ...], result: str, **attributes: Any) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node(kind, sources, [result], name=result, **attributes))


def _same_padding(size_px: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Return how many zeros go before and after an axis, as TensorFlow's SAME has it: the odd one after."""
    covered = (-(-size_px // stride) - 1) * stride + kernel_size
    total = max(covered - size_px, 0)
    return total // 2, total - total // 2


def _tensor(state: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in state:
        raise ConfigError(f"the weights hold no tensor {name!r}; EfficientNet-Lite0 needs it")
    return state[name]
