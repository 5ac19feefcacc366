"""Yardsticks in processes of their own: ``python -m image_assets_tests.benchmarks.yardsticks NAME FOLDER [WORKERS]``.

Each prints one JSON object. ``decode`` decodes every JPEG by Pillow and does nothing else, ``thumbnails`` also resizes
and encodes it, ``renderer`` makes the same outputs with the platform's own chain; the last two print ``cpu_s`` without
start-up.
"""

import hashlib
import io
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps

SIDE_PX = 224
QUALITY = 90


def main() -> None:
    name, folder, *workers = sys.argv[1:]
    paths = sorted(Path(folder).rglob("*.jpg"))
    if name == "decode":
        decode_all(paths, int(workers[0]))
        print(json.dumps({"images": len(paths)}))
        return
    make = {"thumbnails": thumbnail, "renderer": _rendering()}[name]
    print(json.dumps({"images": len(paths), "cpu_s": _cpu_seconds(make, paths)}))


def decode_all(paths: list[Path], workers: int) -> None:
    """Decode every file in so many processes; one is this process itself."""
    if workers == 1:
        for path in paths:
            decode(path)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(decode, paths, chunksize=32)
        # Waited for, so that what they used is counted with this process.
        pool.close()
        pool.join()


def decode(path: Path) -> None:
    """Decode one file as Pillow does it by itself."""
    with Image.open(path) as image:
        image.load()


def thumbnail(path: Path) -> bytes:
    """Return the file decoded in full, fitted by Lanczos and encoded, all by Pillow."""
    with Image.open(path) as image:
        small = ImageOps.fit(image.convert("RGB"), (SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _rendering() -> Callable[[Path], bytes]:
    from image_assets.settings import make_settings
    from image_assets.transforms.chain import Renderer

    content = {"name": "large", "source": {"path": "raw"}, "store": "store", "output": {"quality": QUALITY}}
    renderer = Renderer(make_settings({**content, "image": {"width_px": SIDE_PX, "height_px": SIDE_PX}}, base=Path()))

    def render(path: Path) -> bytes:
        raw = path.read_bytes()
        return renderer.render(raw, hashlib.sha256(raw).hexdigest()).outputs[0].data

    return render


def _cpu_seconds(make: Callable[[Path], bytes], paths: list[Path]) -> float:
    make(paths[0])  # Imports, and the first use of everything.
    started_at = time.process_time()
    for path in paths:
        make(path)
    return time.process_time() - started_at


if __name__ == "__main__":
    main()
