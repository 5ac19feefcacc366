"""What a worker of a remux does with a task: read, hash, decode, transform or hand to a function, encode."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_assets.core.errors import DecodeError, SourceFileError
from image_assets.engines.base import Beat
from image_assets.pipeline.recipe import renderer_for
from image_assets.pipeline.remux.functions import BatchFunction
from image_assets.pipeline.remux.tasks import Made, RawImage, Task
from image_assets.settings import Settings

_DETAIL_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class RemuxContext:
    """What is the same for all tasks of a remux.

    ``root`` is the folder that paths in the tables must stay in; None: the tables hold all images themselves.
    ``function`` is the import path of the user's function, which is called instead of the preset's transforms.
    """

    settings: Settings
    recipe_id: str
    root: Path | None
    image_col: str
    function: str | None


class Preparer:
    """The function that an engine runs over tasks. Sent once to each worker; what it opens stays there."""

    def __init__(self, context: RemuxContext) -> None:
        self._context = context
        self._settings = context.settings
        self._tool: Any = None

    def __call__(self, task: Task, beat: Beat) -> tuple[Made, ...]:
        """Make the outputs of one task.

        Raises:
            ConfigError: the user's function failed, or returned what is no batch.
        """
        if self._tool is None:
            self._tool = self._build_tool()
        if isinstance(self._tool, BatchFunction):
            return self._tool.apply(task, self._read, beat)
        made = []
        for position, (row, image) in enumerate(zip(task.rows, task.images, strict=True)):
            beat(position)
            made.append(self._render(row, image))
        return tuple(made)

    def blame(self, task: Task, reason: str, detail: str) -> tuple[Made, ...]:
        """Return the result of a task of one row whose image ended its worker; it is hashed, not decoded."""
        try:
            raw = self._read(task.images[0])
        except SourceFileError as error:
            return (_failed(task.rows[0], None, error),)
        return (_failed(task.rows[0], hashlib.sha256(raw).hexdigest(), DecodeError(reason, detail)),)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tool": None}

    def _build_tool(self) -> Any:
        context = self._context
        if context.function is not None:
            return BatchFunction(context.function, context.settings, context.image_col)
        return renderer_for(context.settings, context.recipe_id)

    def _render(self, row: int, image: RawImage) -> Made:
        sha256 = None
        try:
            raw = self._read(image)
            sha256 = hashlib.sha256(raw).hexdigest()
            rendered = self._tool.render(raw, sha256)
        except (SourceFileError, DecodeError) as error:
            return _failed(row, sha256, error)
        return Made(row, sha256, rendered.outputs[0].data)

    def _read(self, image: RawImage) -> bytes:
        """Return an image's bytes, from its row or from the file that the row names.

        Raises:
            SourceFileError: there are none, or the file is not below the dataset's folder or cannot be read.
        """
        if image.data is not None:
            return image.data
        if image.path is None:
            raise SourceFileError("zero_bytes", "the row holds no image")
        if self._context.root is None:
            raise SourceFileError("unreadable", f"the row holds no bytes, only the path {image.path}")
        return read_beside(self._context.root, image.path, max_bytes=self._settings.limits.max_file_bytes)


def read_beside(root: Path, path: str, *, max_bytes: int) -> bytes:
    """Return the bytes of a file below a dataset's folder.

    Raises:
        SourceFileError: the path leads out of the folder, or the file is too large or cannot be read.
    """
    try:
        target = (root / path).resolve()
        if not target.is_relative_to(root.resolve()):
            raise SourceFileError("outside_root", f"{path} is not below the dataset's folder")
        if target.stat().st_size > max_bytes:
            raise SourceFileError("too_large", f"{path} has more than {max_bytes} bytes")
        return target.read_bytes()
    except (OSError, ValueError) as error:
        raise SourceFileError("unreadable", f"{path}: {error}") from error


def _failed(row: int, sha256: str | None, error: SourceFileError | DecodeError) -> Made:
    return Made(row, sha256, reason=error.reason, detail=error.detail[:_DETAIL_CHARACTERS])
