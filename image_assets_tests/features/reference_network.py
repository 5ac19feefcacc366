"""EfficientNet-Lite0 once more, in plain float64 numpy straight from the unfolded weights, to compare with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]

# The stride of each of the 16 blocks, and whether its input is added to its result.
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
ADDED = (0, 0, 1, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0)


def forward(image: NDArray[np.uint8], state: Tensors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return embedding (1280,) and logits (1000,) of one image of shape (224, 224, 3)."""
    x = _relu6(same_conv_and_norm(normalised(image), state, ("_conv_stem", "_bn0"), stride=2))
    for number, (stride, added) in enumerate(zip(STRIDES, ADDED, strict=True)):
        block = f"_blocks.{number}"
        y = x
        if number > 0:
            y = _relu6(same_conv_and_norm(y, state, (f"{block}._expand_conv", f"{block}._bn0")))
        y = _relu6(same_conv_and_norm(y, state, (f"{block}._depthwise_conv", f"{block}._bn1"), stride=stride))
        y = same_conv_and_norm(y, state, (f"{block}._project_conv", f"{block}._bn2"))
        x = y + x if added else y
    embedding = _relu6(same_conv_and_norm(x, state, ("_conv_head", "_bn1"))).mean(axis=(1, 2))
    return embedding, state["_fc.weight"].astype(np.float64) @ embedding + state["_fc.bias"]


def normalised(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what the network is fed, channels first."""
    return (image.astype(np.float64).transpose(2, 0, 1) - 127) / 128


def same_conv_and_norm(
    x: NDArray[np.float64], state: Tensors, parts: tuple[str, str], *, stride: int = 1
) -> NDArray[np.float64]:
    """Return convolution, then batch normalisation, one after the other."""
    conv, norm = parts
    weight = state[f"{conv}.weight"].astype(np.float64)
    kernel_size = weight.shape[-1]
    # For even sizes SAME pads kernel - stride zeros in all, the odd one at the end.
    missing = kernel_size - stride
    before, after = missing // 2, missing - missing // 2
    padded = np.pad(x, ((0, 0), (before, after), (before, after)))
    windows = sliding_window_view(padded, (kernel_size, kernel_size), axis=(1, 2))[:, ::stride, ::stride]
    if weight.shape[1] == 1:
        y = np.einsum("chwij,cij->chw", windows, weight[:, 0], optimize=True)
    else:
        y = np.tensordot(weight, windows, axes=([1, 2, 3], [0, 3, 4]))
    scale, shift, mean, variance = (
        state[f"{norm}.{name}"].astype(np.float64)[:, None, None]
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    return scale * (y - mean) / np.sqrt(variance + 0.001) + shift


def _relu6(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.minimum(np.maximum(x, 0), 6)
