"""What the platform sees in single files, without a dataset: facts, verdict, and the pixels that it would keep."""

import hashlib
import io
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_assets.core.errors import ConfigError, DecodeError, SourceFileError
from image_assets.core.extensions import promises_other_format
from image_assets.core.sample import FAILED, OK
from image_assets.engines import local_engine
from image_assets.engines.base import Beat, Lost
from image_assets.settings import Settings
from image_assets.transforms.chain import Renderer
from image_assets.transforms.pillow_decode import count_frames, profile_name

_REPORTED = (
    "raw_format", "raw_mode", "raw_width_px", "raw_height_px", "orientation", "taken_at", "camera_make",
    "camera_model", "has_gps", "gps_latitude", "gps_longitude",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was seen in one file, ready for JSON, and the encoded plain output when there is one."""

    report: dict[str, Any]
    output: bytes | None


def inspect_files(settings: Settings, paths: Sequence[str]) -> Iterator[Inspected]:
    """Yield what the platform sees in each file, in order; a file that ends its decoder costs no more than itself.

    Args:
        settings: size, shape and limits; source and store are not looked at.

    Raises:
        ConfigError: the settings name a transform that does not exist.
        EngineError: no worker can be started.
    """
    with local_engine(settings) as engine:
        inspector = Inspector(settings)
        for path in paths:
            # One at a time, so that they come in order.
            for outcome in engine.map(inspector, [path]):
                if isinstance(outcome, Lost):
                    yield Inspected({"file": path, **_failed(outcome.reason, outcome.detail)}, None)
                else:
                    yield outcome.result


def inspect_summary(settings: Settings, paths: Sequence[str], preview: str | None) -> dict[str, Any]:
    """Return what is seen in the files; write the one file's exact output pixels as PNG to ``preview``.

    Raises:
        ConfigError: a preview of several files was asked for, or the settings are wrong.
        OSError: the preview cannot be written.
    """
    if preview is not None and len(paths) != 1:
        raise ConfigError(f"--preview shows one image, {len(paths)} files were given; name one")
    found = list(inspect_files(settings, paths))
    if preview is not None and found[0].output is not None:
        _write_png(found[0].output, Path(preview))
    return {"files": [item.report for item in found]}


class Inspector:
    """The function that an engine runs over paths."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._renderer: Renderer | None = None

    def __call__(self, path: str, beat: Beat) -> Inspected:
        """Return what is seen in one file."""
        beat(0)
        if self._renderer is None:
            self._renderer = Renderer(self._settings)
        report: dict[str, Any] = {"file": path}
        try:
            raw = _read(Path(path), self._settings.limits.max_file_bytes)
            report |= {"size_bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
            rendered = self._renderer.render(raw, report["sha256"])
        except (SourceFileError, DecodeError) as error:
            return Inspected(report | _failed(error.reason, error.detail), None)
        facts, plain = rendered.facts.as_dict(), rendered.outputs[0]
        wrong = ["wrong_extension"] if promises_other_format(path, facts["raw_format"]) else []
        report |= {"verdict": OK, "reason": None, "detail": None, **{name: facts[name] for name in _REPORTED}}
        report |= {"flags": sorted([*facts["flags"], *wrong]), "icc_profile": profile_name(raw)}
        report["frames"] = self._count_frames(raw, len(rendered.outputs))
        report["output"] = {
            "format": plain.format, "width_px": plain.width_px, "height_px": plain.height_px,
            "size_bytes": len(plain.data), "sha256": plain.sha256,
        }  # fmt: skip
        return Inspected(report, plain.data)

    def _count_frames(self, raw: bytes, outputs: int) -> int | None:
        """Return how many frames or pages the file has: all that were decoded, or what it says of itself."""
        if self._settings.image.frames == "all":
            return outputs // (self._settings.augment.variants + 1)
        return count_frames(raw)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None}


def _failed(reason: str, detail: str) -> dict[str, Any]:
    return {"verdict": FAILED, "reason": reason, "detail": detail}


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SourceFileError("unreadable", "no regular file")
        if status.st_size > max_bytes:
            raise SourceFileError("too_large", f"{status.st_size} bytes, the limit is {max_bytes}")
        return path.read_bytes()
    except OSError as error:
        raise SourceFileError("unreadable", str(error.strerror)) from error


def _write_png(encoded: bytes, target: Path) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as image:
        image.save(target, format="PNG")
