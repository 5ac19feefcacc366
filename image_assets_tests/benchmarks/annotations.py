"""What annotations cost: importing, importing again, the labels of people, and placing them in the outputs.

    python -m image_assets_tests.benchmarks.annotations --images 100000

It makes up an index of that many photographs of 4000 x 3000 pixels, without pixels, and annotations of each: a class
and a box, of every tenth image a mask as well. Each step is a process of its own.
"""

import argparse
import hashlib
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from image_assets.core.annotations import AnnotatedImage, Annotation
from image_assets.core.geometry import Box
from image_assets.core.index import INDEX_SCHEMA, IndexHead, output_id
from image_assets.core.masks import mask_from_columns
from image_assets.pipeline.annotating import build_placed_annotations
from image_assets.pipeline.label_overrides import label_overrides
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.settings import Settings, make_settings
from image_assets.storage.annotations import append_annotations
from image_assets.storage.identity import open_store
from image_assets.storage.indexes import iter_index, publish_index, staged_index
from image_assets_tests.benchmarks.processes import measure_module

_MODULE = "image_assets_tests.benchmarks.annotations"
_SIZE_PX = (4000, 3000)
_NOW = "2026-11-21T10:00:00+00:00"
_PIECE = 10_000


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=list(_STEPS))
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.step is not None:
        print(json.dumps(_STEPS[given.step](_settings(given.folder), given.images)))
        return
    with tempfile.TemporaryDirectory() as folder:
        _write_index(_settings(Path(folder)), given.images)
        for step in ("import", "again", "labels", "place", "again_placed"):
            said = measure_module(_MODULE, step, "--images", str(given.images), "--folder", folder).printed
            print(f"{step:<14}{said['s']:>8.1f} s{said['cpu_s']:>8.1f} CPU s{said['peak_mb']:>8.0f} MB  {said['what']}")


def _timed(act: Callable[[], object]) -> dict[str, object]:
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = time.perf_counter(), time.process_time()
    what = act()
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"s": seconds, "cpu_s": cpu_s, "peak_mb": peak_mb, "what": f"{what} ({before_mb:.0f} MB before)"}


def _import(settings: Settings, images: int) -> dict[str, object]:
    return _timed(lambda: append_annotations(open_store(settings), _annotated(images), imported_at=_NOW))


def _label(settings: Settings, _images: int) -> dict[str, object]:
    store = open_store(settings)

    def act() -> int:
        overrides = label_overrides(store)
        return sum(overrides.apply(piece).num_rows for piece in iter_index(store, 1, columns=["sha256", "label"]))

    return _timed(act)


def _place(settings: Settings, _images: int) -> dict[str, object]:
    return _timed(lambda: build_placed_annotations(settings).head.rows)


_STEPS = {"import": _import, "again": _import, "labels": _label, "place": _place, "again_placed": _place}


def _settings(folder: Path) -> Settings:
    content = {
        "name": "annotated",
        "source": {"path": "raw"},
        "store": "store",
        "transforms": [{"random_crop": {"scale": [0.8, 1.0]}}, "random_flip"],
    }
    return make_settings(content, base=folder, overrides={})


def _annotated(images: int) -> Iterator[AnnotatedImage]:
    rng = np.random.default_rng(0)
    width_px, height_px = _SIZE_PX
    bits = np.indices((600, 800)).sum(axis=0) % 700 < 500
    for number in range(images):
        left, top = int(rng.integers(0, 3000)), int(rng.integers(0, 2000))
        given = [
            Annotation(f"class {number % 100}", made_at=_NOW, annotator="somebody"),
            Annotation("part", Box(left, top, left + 700, top + 800), made_at=_NOW, annotator="somebody"),
        ]
        if number % 10 == 0:
            columns = np.zeros((height_px, bits.shape[1]), bool)
            columns[top : top + 600] = bits
            given.append(Annotation("area", mask_from_columns(width_px, height_px, [(left, columns)])))
        yield AnnotatedImage(_hash(number), width_px, height_px, "cvat", "1", tuple(given), reviewed=True)


def _hash(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _write_index(settings: Settings, images: int) -> None:
    recipe_id = recipe_id_of(settings)
    head = IndexHead("annotated", 1, "0" * 64, images, recipe_id, 16, _NOW, {}, {})
    store = open_store(settings)
    pieces = (_index_rows(range(first, min(first + _PIECE, images))) for first in range(0, images, _PIECE))
    with staged_index(head, pieces) as staged:
        publish_index(store, 1, staged)


def _index_rows(numbers: range) -> pa.Table:
    facts = {"raw_format": "JPEG", "raw_mode": "RGB", "raw_width_px": _SIZE_PX[0], "raw_height_px": _SIZE_PX[1]}
    fixed = {"variant": 0, "width_px": 224, "height_px": 224, "format": "jpeg", "segment": "0" * 64, "row": 0}
    rows = [
        {
            **facts,
            **fixed,
            "key": f"{number}.jpg",
            "id": output_id(f"{number}.jpg", 0),
            "sha256": _hash(number),
            "output_sha256": _hash(number),
            "bucket": 0,
            "orientation": 1,
            "flags": [],
        }
        for number in numbers
    ]
    return pa.Table.from_pylist(rows, INDEX_SCHEMA)


if __name__ == "__main__":
    main()
