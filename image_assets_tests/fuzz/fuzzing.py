"""Feed broken files to the decoder for a while: ``python -m image_assets_tests.fuzz --minutes 30``.

Good files are broken at random (``mutate.py``) and decoded in worker processes with the limits of a run. Reported are
how many became which reason, and as findings: a worker that died or hung, an error that is no reason, a file that is
accepted although Pillow, decoding all of it, refuses it, and one whose frames all together say something else than the
first alone. Findings are kept as files; exit code 1 when there are any.
The seed makes a run repeatable.
"""

import argparse
import hashlib
import io
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from image_assets.core.errors import DecodeError
from image_assets.core.sample import Rendered
from image_assets.engines.base import Beat, Lost
from image_assets.engines.local import LocalEngine
from image_assets.settings import Settings, make_settings
from image_assets.transforms.chain import Renderer
from image_assets.transforms.heic import is_heic
from image_assets.transforms.pillow_decode import FORMATS
from image_assets_tests.fuzz.mutate import mutated

_GOLDEN = Path(__file__).parents[1] / "golden"
_FILES_A_TASK = 50


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken file, and the good one it was made from."""

    origin: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one broken file: ``ok`` or a reason; ``finding`` says what is wrong with that."""

    outcome: str
    finding: str = ""


class Decoder:
    """The function that workers run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, task: list[Broken], beat: Beat) -> list[Fate]:
        image = self._settings.image.model_copy(update={"frames": "all"})
        first, all_frames = Renderer(self._settings), Renderer(self._settings.model_copy(update={"image": image}))
        fates = []
        for position, broken in enumerate(task):
            beat(position)
            fate, rendered = _fate(first, broken.data)
            if not fate.finding and (rendered is None or "animated" in rendered.facts.flags):
                fate = _compared(fate, rendered, *_fate(all_frames, broken.data))
            fates.append(fate)
        return fates


def _fate(renderer: Renderer, data: bytes) -> tuple[Fate, Rendered | None]:
    try:
        rendered = renderer.render(data, hashlib.sha256(data).hexdigest())
    except DecodeError as error:
        return Fate(error.reason), None
    except Exception as error:  # noqa: BLE001  that is what is looked for
        return Fate("error", f"no reason but {error!r}"), None
    flags = rendered.facts.flags
    return Fate("ok", "" if "lenient_decode" in flags or is_heic(data) else _objection(data)), rendered


def _compared(fate: Fate, first: Rendered | None, of_all: Fate, frames: Rendered | None) -> Fate:
    """Return the first frame's fate, with what is wrong with that of all frames beside it."""
    if of_all.finding:
        return Fate(fate.outcome, f"all frames: {of_all.finding}")
    if frames is not None and (first is None or frames.outputs[0].sha256 != first.outputs[0].sha256):
        return Fate(fate.outcome, f"all frames are accepted, and the first alone gives {fate.outcome} or other pixels")
    return fate


def _objection(data: bytes) -> str:
    """Return what Pillow has against a file that we accepted."""
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                # A giant is decoded smaller by us, which is no defect, and would take Pillow long.
                if image.width * image.height < 50_000_000:
                    image.load()
    except Exception as error:  # noqa: BLE001  decoders raise anything
        return f"accepted, and Pillow says {error!r}"
    return ""


def tasks(folder: Path, seed: int, until: float) -> Iterator[list[Broken]]:
    """Yield broken files until that time (seconds of the monotonic clock)."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".py", ".json", ".pyc"})
    good = [(path.name, path.read_bytes()) for path in paths if 0 < path.stat().st_size < 2**20]
    rng = np.random.default_rng(seed)
    while time.monotonic() < until:
        picks = rng.integers(0, len(good), (_FILES_A_TASK, 2))
        yield [Broken(good[one][0], mutated(good[one][1], good[other][1], rng)) for one, other in picks]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=Path, default=_GOLDEN, help="folder of good files")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for what was found")
    options = parser.parse_args()
    content = {"name": "fuzz", "source": {"path": "."}, "store": ".", "limits": {"max_pixels": 20_000_000}}
    settings = make_settings(content, base=Path.cwd())
    outcomes: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    until = time.monotonic() + 60 * options.minutes

    def keep(broken: Broken, finding: str) -> None:
        options.keep.mkdir(parents=True, exist_ok=True)
        name = f"{hashlib.sha256(broken.data).hexdigest()[:16]}-{broken.origin}"
        (options.keep / name).write_bytes(broken.data)
        findings[finding[:160]] += 1
        print(f"{name}: {finding}", flush=True)

    with LocalEngine(2, 10.0, settings.limits.max_memory_bytes) as engine:
        for outcome in engine.map(Decoder(settings), tasks(options.files, options.seed, until)):
            if isinstance(outcome, Lost):
                outcomes[outcome.reason] += 1
                keep(outcome.task[outcome.position], f"{outcome.reason}: {outcome.detail}")
                continue
            for broken, fate in zip(outcome.task, outcome.result, strict=True):
                outcomes[fate.outcome] += 1
                if fate.finding:
                    keep(broken, fate.finding)
    print(f"{sum(outcomes.values())} files: " + ", ".join(f"{count} {name}" for name, count in outcomes.most_common()))
    print(f"{sum(findings.values())} findings of {len(findings)} kinds")
    return 1 if findings else 0
