"""Any ONNX file as an extractor, on the processor: what it wants to be shown is told from its input's shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError
from image_assets.features.model_input import ModelInput, as_numbers, seen_pixels, settings_text, with_settings
from image_assets.features.one_by_one import embed_each
from image_assets.features.pins import check_pin, combined_digest, file_sha256, refuse_settings
from image_assets.settings.features import FeatureSettings, ModelInputSettings

PREFIX = "onnx:"
# Part of the digest: change it when the same file and pixels would give other vectors.
_VERSION = "onnx 1: middle, Pillow bicubic, (x / 255 - mean) / std, one image at a time, means over places"
_DEFAULT_SIZE_PX = 224
_IMAGE_DIMS = 4
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


def build_onnx_model(features: FeatureSettings, _cache_dir: Path, threads: int) -> "OnnxModel":
    """Return the extractor of the file that the settings name.

    Raises:
        ConfigError: it cannot be read, is none that can be used, or has another digest than the settings say.
    """
    path = _path(features)
    digest = onnx_model_digest(features)
    session = _open_session(path, features.output)
    plan = _input_plan(session, features.input, path.name)
    output = _output_name(session, features.output, path.name)
    return OnnxModel(onnx_name(features.extractor), digest, (session, plan, output), threads)


def onnx_model_digest(features: FeatureSettings) -> str:
    """Return the extractor's digest: of the file's bytes, what it is shown, and which output is taken.

    Raises:
        ConfigError: the file cannot be read, or has another digest than the settings say.
    """
    refuse_settings(features, "weights")
    path = _path(features)
    found = file_sha256(path, "features.extractor")
    check_pin(features, found, path.name)
    return combined_digest(_VERSION, found, settings_text(features.input), features.output or "")


def onnx_name(named: str) -> str:
    """Return the name of the extractor of a file: where the file lies is nobody's business, and may change."""
    return f"{PREFIX}{Path(named.removeprefix(PREFIX)).name}"


@dataclass(frozen=True, slots=True)
class _InputPlan:
    """The model's input: ``batch`` images together when it takes no other number, and where the channels are."""

    name: str
    dtype: type[np.generic]
    layout: Literal["nchw", "nhwc"]
    batch: int
    shown: ModelInput

    def array_of(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """Return what the session is given for one image, repeated where it wants several."""
        pixels = seen_pixels(image, self.shown)
        numbers = pixels if self.dtype is np.uint8 else as_numbers(pixels, self.shown).astype(self.dtype)
        one = numbers.transpose(2, 0, 1) if self.layout == "nchw" else numbers
        return np.ascontiguousarray(np.broadcast_to(one, (self.batch, *one.shape)))


class OnnxModel:
    """The vectors of an ONNX file; calls may come from several threads."""

    def __init__(self, name: str, digest: str, model: tuple[Any, _InputPlan, str], threads: int) -> None:
        """Run it once, on grey, to see what comes out.

        Raises:
            ConfigError: it does not run, or what comes out is no vector.
        """
        self.name = name
        self.digest = digest
        self._session, self._plan, self._output = model
        self._threads = threads
        shown = self._plan.shown
        self.dim = len(self._embed_one(np.full((shown.height_px, shown.width_px, 3), 127, np.uint8)))

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one vector an image, shape (n, dim), float32.

        Raises:
            DatasetError: the images are not of shape (n, height, width, 3), uint8.
            ConfigError: the model does not run.
        """
        return embed_each(images, self.dim, self._threads, self._embed_one)

    def _embed_one(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            found = self._session.run([self._output], {self._plan.name: self._plan.array_of(image)})[0]
        except _runtime_errors() as error:
            what = str(error).strip().splitlines()[0][:300]
            raise ConfigError(f"{self.name} does not run: {what}; see features.input and features.output") from error
        return _vector_of(np.asarray(found), self._plan.layout, f"output {self._output!r} of {self.name}")


def _vector_of(found: NDArray[Any], layout: str, what: str) -> NDArray[np.float32]:
    """Return the first image's vector: the mean over all places of a map, or over all tokens of a sequence."""
    if found.ndim < 2 or found.dtype.kind != "f" or not found.size:
        raise ConfigError(f"{what} is no vector of an image: {found.dtype} of shape {found.shape}; name another output")
    one = found[0].astype(np.float32)
    if one.ndim == 3:
        return np.asarray(one.mean(axis=(1, 2) if layout == "nchw" else (0, 1)), np.float32)
    return np.asarray(one.mean(axis=0) if one.ndim == 2 else one.reshape(-1), np.float32)


def _input_plan(session: Any, wanted: ModelInputSettings, name: str) -> _InputPlan:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _TYPES or len(inputs[0].shape) != _IMAGE_DIMS:
        found = ", ".join(f"{item.name}: {item.type} {item.shape}" for item in inputs)
        raise ConfigError(f"{name} must have one input of 4 dimensions, float32, float16 or uint8; it has {found}")
    batch, *sizes = [size if isinstance(size, int) and size > 0 else None for size in inputs[0].shape]
    layout = wanted.layout or _layout_of(sizes, name)
    channels = sizes.pop(0 if layout == "nchw" else 2)
    if channels not in (3, None):
        raise ConfigError(f"{name} takes images of {channels} channels ({layout}), not 3; see features.input.layout")
    dtype = _TYPES[inputs[0].type]
    if dtype is np.uint8 and (wanted.mean or wanted.std):
        raise ConfigError(f"{name} takes pixels as they are (uint8); leave features.input.mean and std out")
    height_px, width_px = (size or wanted.size_px or _DEFAULT_SIZE_PX for size in sizes)
    shown = with_settings(ModelInput(height_px, width_px), wanted)
    if (shown.height_px, shown.width_px) != (height_px, width_px):
        raise ConfigError(f"features.input.size_px is {wanted.size_px}, but {name} takes {width_px} x {height_px}")
    return _InputPlan(inputs[0].name, dtype, layout, batch or 1, shown)


def _layout_of(sizes: list[int | None], name: str) -> Literal["nchw", "nhwc"]:
    found: list[Literal["nchw", "nhwc"]] = []
    if sizes[0] == 3:
        found.append("nchw")
    if sizes[2] == 3:
        found.append("nhwc")
    if len(found) == 1:
        return found[0]
    raise ConfigError(f"the input of {name} does not say where its channels are ({sizes}); set features.input.layout")


def _output_name(session: Any, wanted: str | None, name: str) -> str:
    names = [item.name for item in session.get_outputs()]
    if wanted is not None:
        return wanted
    if len(names) != 1:
        raise ConfigError(f"{name} has the outputs {', '.join(names)}; name one as features.output")
    return str(names[0])


def _open_session(path: Path, output: str | None) -> Any:
    """Return the model ready to run, with a tensor within it as a further output when that was asked for."""
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        # As bytes, not as a path: no other file is read because this one names it.
        session = onnxruntime.InferenceSession(_with_output(path, output), options, providers=["CPUExecutionProvider"])
    except _runtime_errors() as error:
        what = str(error).strip().splitlines()[0][:300]
        raise ConfigError(f"{path} is no ONNX file that can be used: {what}; save it whole, as one file") from error
    return session


def _with_output(path: Path, output: str | None) -> bytes:
    data = path.read_bytes()
    if output is None:
        return data
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ConfigError(f"{path} is no ONNX file that can be used: {error}; save it whole, as one file") from error
    if output in [item.name for item in model.graph.output]:
        return data
    if output not in [name for node in model.graph.node for name in node.output]:
        known = ", ".join(item.name for item in model.graph.output)
        raise ConfigError(f"{path.name} has no tensor {output!r} (features.output); its outputs are {known}")
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
    return bytes(model.SerializeToString())


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises: classes with no base of their own but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [item for item in vars(state).values() if isinstance(item, type) and issubclass(item, Exception)]
    return (*own, RuntimeError, ValueError)


def _path(features: FeatureSettings) -> Path:
    return Path(features.extractor.removeprefix(PREFIX))
