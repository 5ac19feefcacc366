"""Near-duplicates: what the search costs, and what it finds of photographs that were changed on purpose.

    python -m image_assets_tests.benchmarks.duplicates search
    python -m image_assets_tests.benchmarks.duplicates truth --photos FOLDER

``search`` compares 1,000 new perceptual hashes with 1,000,000 old ones, in a process of its own, and beside it in
another one by comparing all with all. ``truth`` puts photographs and changed copies through a run and counts.
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from image_assets.core.hashes import packed_hashes
from image_assets.core.neighbours import NO_NEIGHBOUR, different_hashes, follow_hashes, no_neighbours
from image_assets.core.perceptual import METHOD
from image_assets.pipeline.duplicates import build_duplicates
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.settings import make_settings
from image_assets.storage.perceptual import read_hashes, read_neighbours, write_neighbours
from image_assets.storage.store import Store
from image_assets_tests.benchmarks.processes import measure_module

_MODULE = "image_assets_tests.benchmarks.duplicates"
_DISTANCE_BITS = 8
_ORIGINAL = "original"
_SHOWN_BITS = (0, 4, 6, 8, 10, 12)


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["search", "truth", *_SEARCHES])
    parser.add_argument("--photos", type=Path, default=Path("data/photos"), help="photographs for `truth`")
    parser.add_argument("--old", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="where the hashes are, for a process that is measured")
    given = parser.parse_args()
    if given.what == "truth":
        _print_truth(given.photos)
    elif given.what == "search":
        _print_search(given.old, given.new)
    else:
        print(json.dumps(_SEARCHES[given.what](given.folder)))


def _print_search(old: int, new: int) -> None:
    print(f"{'hashes':<10}{'way':<14}{'near':>6}{'search s':>10}{'CPU s':>8}{'all s':>8}{'CPU s':>8}{'peak MB':>9}")
    for kind, make in _KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            hashes = make(np.random.default_rng(0), old)
            known = follow_hashes(no_neighbours(), different_hashes(hashes), 0)
            write_neighbours(Store(folder), METHOD, _DISTANCE_BITS, known)
            np.save(Path(folder, "new.npy"), _near_and_far(np.random.default_rng(1), hashes, new))
            del hashes, known
            for way in _SEARCHES:
                said = measure_module(_MODULE, way, "--folder", folder).printed
                search, whole = said["search"], said["all"]
                numbers = f"{search['s']:>10.2f}{search['cpu_s']:>8.2f}{whole['s']:>8.2f}{whole['cpu_s']:>8.2f}"
                print(f"{kind:<10}{way:<14}{said['near']:>6}{numbers}{said['peak_mb']:>9.0f}", flush=True)


def _uniform(rng: np.random.Generator, count: int) -> NDArray[np.uint64]:
    return rng.integers(0, 2**64, count, dtype=np.uint64)


def _clustered(rng: np.random.Generator, count: int) -> NDArray[np.uint64]:
    """A thousand motives, each seen a thousand times with 13 bits changed: parts of hashes are shared by many."""
    return _flipped(rng, np.repeat(_uniform(rng, 1000), count // 1000), 13)


_KINDS: dict[str, Callable[[np.random.Generator, int], NDArray[np.uint64]]] = {
    "uniform": _uniform,
    "clustered": _clustered,
}


def _near_and_far(rng: np.random.Generator, old: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    near = _flipped(rng, rng.choice(old, count // 2), 5)
    return np.concatenate([near, _uniform(rng, count - count // 2)])


def _flipped(rng: np.random.Generator, hashes: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    for _ in range(bits):
        hashes = hashes ^ (np.uint64(1) << rng.integers(0, 64, len(hashes)).astype(np.uint64))
    return hashes


def _incremental(folder: Path) -> dict[str, Any]:
    """Read what is kept, add the new hashes, and keep that: as a run does."""
    new = np.load(folder / "new.npy")
    store, whole = Store(str(folder)), _Watch()
    before = read_neighbours(store, METHOD, _DISTANCE_BITS)
    hashes = different_hashes(np.concatenate([before.hashes, new]))
    search = _Watch()
    after = follow_hashes(before, hashes, _DISTANCE_BITS)
    searched = search.took()
    write_neighbours(store, METHOD, _DISTANCE_BITS, after)
    done = whole.took()
    near = after.nearest[np.searchsorted(hashes, np.unique(new))] != NO_NEIGHBOUR
    # As it was before, for the one that comes next.
    write_neighbours(store, METHOD, _DISTANCE_BITS, before)
    return {"near": int(near.sum()), "search": searched, "all": done, "peak_mb": _peak_mb()}


def _brute_force(folder: Path) -> dict[str, Any]:
    """Compare each new hash with all, without keeping anything."""
    store, whole = Store(str(folder)), _Watch()
    new = np.unique(np.load(folder / "new.npy"))
    hashes = different_hashes(np.concatenate([read_neighbours(store, METHOD, _DISTANCE_BITS).hashes, new]))
    search = _Watch()
    # Each is near itself.
    near = sum(np.count_nonzero(np.bitwise_count(hashes ^ one) <= _DISTANCE_BITS) > 1 for one in new)
    return {"near": int(near), "search": search.took(), "all": whole.took(), "peak_mb": _peak_mb()}


_SEARCHES: dict[str, Callable[[Path], dict[str, Any]]] = {"incremental": _incremental, "brute-force": _brute_force}


class _Watch:
    """Seconds since it was made, by the clock and of this process's own."""

    def __init__(self) -> None:
        self._started = (time.perf_counter(), time.process_time())

    def took(self) -> dict[str, float]:
        """Return both."""
        return {"s": time.perf_counter() - self._started[0], "cpu_s": time.process_time() - self._started[1]}


def _peak_mb() -> float:
    """Return the most memory that this process ever had."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def _encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _cropped(image: Image.Image, fraction: float) -> Image.Image:
    width, height = image.size
    across, down = width * fraction / 2, height * fraction / 2
    return image.crop((round(across), round(down), round(width - across), round(height - down)))


# What is done to a copy, and the ending of its name.
_CHANGES: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "resized to 50 %": ("jpg", lambda image: _encoded(_scaled(image, 0.5), format="JPEG", quality=90)),
    "resized to 25 %": ("jpg", lambda image: _encoded(_scaled(image, 0.25), format="JPEG", quality=90)),
    "JPEG quality 50": ("jpg", lambda image: _encoded(image, format="JPEG", quality=50)),
    "JPEG quality 20": ("jpg", lambda image: _encoded(image, format="JPEG", quality=20)),
    "WebP quality 75": ("webp", lambda image: _encoded(image, format="WEBP", quality=75)),
    "grayscale": ("jpg", lambda image: _encoded(image.convert("L"), format="JPEG", quality=90)),
    "20 % brighter": ("jpg", lambda i: _encoded(ImageEnhance.Brightness(i).enhance(1.2), format="JPEG", quality=90)),
    "20 % darker": ("jpg", lambda i: _encoded(ImageEnhance.Brightness(i).enhance(0.8), format="JPEG", quality=90)),
    "cropped by 5 %": ("jpg", lambda image: _encoded(_cropped(image, 0.05), format="JPEG", quality=90)),
    "cropped by 10 %": ("jpg", lambda image: _encoded(_cropped(image, 0.1), format="JPEG", quality=90)),
    "mirrored": ("jpg", lambda image: _encoded(ImageOps.mirror(image), format="JPEG", quality=90)),
}


def _print_truth(photos: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        count = _write_copies(photos, Path(folder, "raw"))
        hashes = _hashes_of(Path(folder))
    originals = hashes.pop(_ORIGINAL)
    between = np.bitwise_count(originals[:, None] ^ originals)[np.triu_indices(len(originals), 1)]
    print(f"{count} photographs; the nearest two of them differ in {between.min()} bits.\n")
    print("| change | " + " | ".join(f"≤ {bits} bits" for bits in _SHOWN_BITS) + " |")
    print("|---|" + "---|" * len(_SHOWN_BITS))
    every: list[tuple[NDArray[np.bool_], NDArray[np.uint8]]] = []
    for change, changed in hashes.items():
        apart = np.bitwise_count(changed[:, None] ^ originals)
        same = np.eye(len(originals), dtype=bool)
        every.append((same, apart))
        print(f"| {change} | " + " | ".join(_cell(apart, same, bits) for bits in _SHOWN_BITS) + " |")
    same, apart = (np.concatenate(arrays) for arrays in zip(*every, strict=True))
    print("| all changes | " + " | ".join(_cell(apart, same, bits) for bits in _SHOWN_BITS) + " |")
    wrong = [f"{np.count_nonzero(between <= bits)}" for bits in _SHOWN_BITS]
    print(f"| wrong pairs of originals, of {len(between):,} | " + " | ".join(wrong) + " |")


def _cell(apart: NDArray[np.uint8], same: NDArray[np.bool_], bits: int) -> str:
    """Return recall and precision of taking for the same what differs in at most so many bits."""
    found = apart <= bits
    right = int(np.sum(found & same))
    precision = f"{right / int(found.sum()):.4f}" if found.any() else "-"
    return f"{right / int(same.sum()):.3f} / {precision}"


def _write_copies(photos: Path, raw: Path) -> int:
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    for number, path in enumerate(paths):
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        copies = {f"{_ORIGINAL}/{number:06d}.jpg": path.read_bytes()}
        for change, (suffix, make) in _CHANGES.items():
            copies[f"{change}/{number:06d}.{suffix}"] = make(image)
        for name, data in copies.items():
            copy = raw / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
    return len(paths)


def _hashes_of(folder: Path) -> dict[str, NDArray[np.uint64]]:
    """Return the hashes of each kind of copy, in the order of the photographs."""
    content = {"name": "truth", "source": {"path": "raw"}, "store": "store", "features": {"extractor": "none"}}
    settings = make_settings({**content, "exports": []}, base=folder)
    run_dataset(settings)
    build_duplicates(settings)
    kept = read_hashes(Store(settings.store), METHOD)
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["key", "output_sha256"]).sort_by("key")
    places, _ = kept.find(packed_hashes(rows["output_sha256"].to_pylist()))
    found: dict[str, list[int]] = {}
    for key, place in zip(rows["key"].to_pylist(), places.tolist(), strict=True):
        # One without a hash would be near to all of its kind here.
        assert kept.has_hash[place], key
        found.setdefault(key.split("/")[0], []).append(kept.hashes[place])
    return {change: np.array(found[change], np.uint64) for change in (_ORIGINAL, *_CHANGES)}


if __name__ == "__main__":
    main()
