"""A function of the user's own over batches of images, named by its import path, ``package.module:callable``."""

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from image_assets.core.errors import ConfigError, DecodeError, SourceFileError
from image_assets.core.randomness import keyed_generator
from image_assets.engines.base import Beat
from image_assets.pipeline.remux.tasks import Made, RawImage, Task
from image_assets.settings import Settings
from image_assets.transforms.decode import decode
from image_assets.transforms.encode import ENCODERS
from image_assets.transforms.orientation import orient


def import_function(path: str) -> Callable[..., Any]:
    """Return the callable that an import path names.

    Raises:
        ConfigError: there is no such module or callable, or the module fails while it is imported.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise ConfigError(f"--function {path!r} is no import path; write package.module:callable")
    try:
        function = getattr(importlib.import_module(module_name), name)
    # A module runs as it is imported, so this is the user's code, and any failure of it is a wrong setting here.
    except (Exception, SystemExit) as error:
        raise ConfigError(f"--function {path!r} cannot be imported: {_say(error)}") from error
    if not callable(function):
        raise ConfigError(f"--function {path!r} is a {type(function).__name__}, not a callable")
    return function  # type: ignore[no-any-return]


def function_digest(path: str) -> str:
    """Return a fingerprint, 16 hex digits, of the source text of the function's module.

    Raises:
        ConfigError: it cannot be imported, or Python cannot show its source.
    """
    function = import_function(path)
    try:
        source = inspect.getsource(inspect.getmodule(function) or function)
    except (OSError, TypeError) as error:
        raise ConfigError(
            f"--function {path!r} has no source that can be read ({_say(error)}), so --resume could not see a change "
            "of it; write it in a .py file"
        ) from error
    return hashlib.sha256(source.encode()).hexdigest()[:16]


class BatchFunction:
    """Runs the user's function over decoded batches.

    The function gets a dict of lists, one entry a row, like a function for ``datasets.map(batched=True)``: the image
    column holds PIL images (upright, RGB), the other columns have their own names and plain values. It returns a dict
    of lists of the same length: images as PIL images, uint8 arrays of shape (height, width[, 1 or 3]), or the bytes of
    an encoded file; columns that it leaves out stay as they are. If it takes a parameter ``rngs``, that is a list of
    numpy generators keyed by seed and image, so that the batch it is in does not matter.
    """

    def __init__(self, path: str, settings: Settings, image_col: str) -> None:
        """Import the function.

        Raises:
            ConfigError: it cannot be imported.
        """
        self._path = path
        self._image_col = image_col
        self._function = import_function(path)
        self._settings = settings
        self._encoder = ENCODERS[settings.output.format]
        try:
            self._wants_rngs = "rngs" in inspect.signature(self._function).parameters
        except (TypeError, ValueError):
            self._wants_rngs = False

    def apply(self, task: Task, read: Callable[[RawImage], bytes], beat: Beat) -> tuple[Made, ...]:
        """Return what became of each row; an image that cannot be decoded is left out of the batch.

        Raises:
            ConfigError: the function raised, or returned what is no batch.
        """
        from PIL import Image

        made: list[Made] = []
        good: list[tuple[int, str]] = []
        pictures = []
        for position, image in enumerate(task.images):
            beat(position)
            row, sha256 = task.rows[position], None
            try:
                raw = read(image)
                sha256 = hashlib.sha256(raw).hexdigest()
                decoded = decode(raw, self._settings)
                pictures.append(Image.fromarray(np.ascontiguousarray(orient(decoded.pixels, decoded.turn))))
            except (SourceFileError, DecodeError) as error:
                made.append(Made(row, sha256, reason=error.reason, detail=error.detail[:500]))
            else:
                good.append((position, sha256))
        # Past the last image: what hangs or dies from here on is the function.
        beat(len(task.images))
        if good:
            made += self._call(task, good, pictures)
        return tuple(sorted(made, key=lambda each: each.row))

    def _call(self, task: Task, good: list[tuple[int, str]], pictures: list[Any]) -> list[Made]:
        columns = task.columns or {}
        batch = {
            self._image_col: pictures,
            **{name: [values[at] for at, _ in good] for name, values in columns.items()},
        }
        more = {}
        if self._wants_rngs:
            more["rngs"] = [keyed_generator(self._settings.seed, sha256, "function", 0) for _, sha256 in good]
        where = f"on rows {task.rows[0]} to {task.rows[-1]}"
        try:
            answer = self._function(batch, **more)
        except Exception as error:
            raise ConfigError(
                f"--function {self._path} raised {type(error).__name__} {where}: {_say(error)}"
            ) from error
        answer = self._checked(answer, batch, where)
        changed = [name for name in columns if _changed(answer[name], [columns[name][at] for at, _ in good])]
        made = []
        for place, (at, sha256) in enumerate(good):
            data = self._encode(answer[self._image_col][place], where)
            made.append(Made(task.rows[at], sha256, data, values={name: answer[name][place] for name in changed}))
        return made

    def _checked(self, answer: Any, batch: Mapping[str, list[Any]], where: str) -> dict[str, list[Any]]:
        if not isinstance(answer, Mapping):
            raise ConfigError(
                f"--function {self._path} returned a {type(answer).__name__} {where}; return a dict of lists"
            )
        if unknown := sorted(set(answer) - set(batch)):
            raise ConfigError(
                f"--function {self._path} returned unknown columns {', '.join(map(repr, unknown))} {where}; "
                f"known: {', '.join(batch)}"
            )
        merged = {**batch, **{name: list(values) for name, values in answer.items()}}
        rows = len(batch[self._image_col])
        for name, values in merged.items():
            if len(values) != rows:
                raise ConfigError(
                    f"--function {self._path} returned {len(values)} values of {name!r} for {rows} rows "
                    f"{where}; rows can be neither added nor removed"
                )
        return merged

    def _encode(self, image: Any, where: str) -> bytes:
        from PIL import Image

        if isinstance(image, bytes):
            return image
        if isinstance(image, Image.Image):
            image = np.asarray(image if image.mode in {"RGB", "L"} else image.convert("RGB"))
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in {2, 3}:
            found = (
                f"{image.dtype} array of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            )
            raise ConfigError(f"--function {self._path} returned a {found} {where}; return PIL images or uint8 arrays")
        pixels = image if image.ndim == 3 else image[:, :, None]
        if pixels.shape[2] not in {1, 3} or not pixels.size:
            raise ConfigError(f"--function {self._path} returned pixels of shape {image.shape} {where}")
        return self._encoder.encode(pixels, self._settings.output.quality)


def _changed(after: list[Any], before: list[Any]) -> bool:
    """Return whether a column may hold other values than before; what a value holds inside is not compared."""
    pairs = zip(after, before, strict=True)
    return any(new is not old or isinstance(new, list | dict) for new, old in pairs)


def _say(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no reason given"
