"""Reading the tensors of a PyTorch weights file without PyTorch, and without running anything the file names."""

import io
import math
import pickle  # only through _TensorUnpickler, which builds nothing but numbers, texts and references
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError

# The layout torch.save wrote before its zip format: five pickles (magic number, version, machine, the object, the
# storage keys), then for each key the element count (int64) and the elements.
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001

_STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}

# What the interpreter raises for a pickle that is cut short or is none of ours.
_PARSE_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
)


def parse_state_dict(data: bytes, *, origin: str) -> dict[str, NDArray[Any]]:
    """Return the tensors of one weights file by name: read-only views of ``data``, in the file's order.

    Only what such a file needs can be named in it: ``OrderedDict``, ``torch._utils._rebuild_tensor_v2`` and the
    storages of float32 and int64. Anything else is refused before it is looked up.

    Args:
        origin: what to call the data in an error.

    Raises:
        ConfigError: the data are no state dict in PyTorch's older (non-zip) format, are cut short, or name
            something else to load.
    """
    if data.startswith(b"PK"):
        raise ConfigError(f"weights file {origin} has PyTorch's newer zip format; the older format is read here")
    try:
        return _parse(data)
    except _PARSE_ERRORS as error:
        raise ConfigError(f"weights file {origin} is no usable state dict: {error}; install it again") from error


@dataclass(frozen=True, slots=True)
class _StorageRef:
    """A storage that the pickle mentions; its elements follow after all pickles."""

    key: str
    dtype: str
    numel: int


@dataclass(frozen=True, slots=True)
class _TensorRef:
    """A view of a storage; ``offset`` and ``strides`` count elements."""

    storage: _StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _parse(data: bytes) -> dict[str, NDArray[Any]]:
    stream = io.BytesIO(data)
    if _load(stream) != _MAGIC_NUMBER or _load(stream) != _PROTOCOL_VERSION:
        raise ValueError("its magic number or version is another")
    if _load(stream).get("little_endian") is not True:
        raise ValueError("it was not written on a little-endian machine")
    tensors = _checked_tensors(_load(stream))
    keys = _load(stream)
    mentioned = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {}
    start = stream.tell()
    for key in keys:
        storages[key] = _read_storage(data, start, mentioned[key])
        start += 8 + storages[key].nbytes
    return {name: _view(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _load(stream: io.BytesIO) -> Any:
    return _TensorUnpickler(stream).load()


class _TensorUnpickler(pickle.Unpickler):
    """An unpickler that knows four names and refuses the rest."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for one name of the file.

        Raises:
            UnpicklingError: the name is not one that a state dict needs.
        """
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]  # a text: nothing that the file could call or change
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no state dict needs")
        return known[module, name]

    def persistent_load(self, pid: Any) -> _StorageRef:
        """Return the reference to one storage.

        Raises:
            UnpicklingError: the reference has another form than torch.save gives it.
        """
        match pid:
            case ("storage", str(dtype), str(key), str(), int(numel), None) if dtype in _STORAGE_DTYPES.values():
                return _StorageRef(key, dtype, numel)
        raise pickle.UnpicklingError(f"its storage reference {pid!r} has an unknown form")


def _rebuild_tensor(
    storage: _StorageRef, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _TensorRef:
    return _TensorRef(storage, offset, shape, strides)


def _checked_tensors(content: Any) -> dict[str, _TensorRef]:
    if not isinstance(content, OrderedDict):
        raise TypeError(f"it holds a {type(content).__name__} where tensors by name should be")
    for name, value in content.items():
        if not (isinstance(name, str) and isinstance(value, _TensorRef) and isinstance(value.storage, _StorageRef)):
            raise TypeError(f"its entry {name!r} is no tensor")
    return content


def _read_storage(data: bytes, start: int, storage: _StorageRef) -> NDArray[Any]:
    (numel,) = np.frombuffer(data, "<i8", 1, start).tolist()
    if numel < 0 or numel != storage.numel:
        raise ValueError(f"storage {storage.key} should hold {storage.numel} elements and declares {numel}")
    return np.frombuffer(data, storage.dtype, numel, start + 8)


def _view(tensor: _TensorRef, elements: NDArray[Any]) -> NDArray[Any]:
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
    outside = min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or last >= len(elements)
    if outside or math.prod(tensor.shape) > len(elements):
        raise ValueError(f"a tensor of shape {tensor.shape} lies outside its storage of {len(elements)} elements")
    strides_bytes = tuple(step * elements.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(elements[tensor.offset :], tensor.shape, strides_bytes, writeable=False)
