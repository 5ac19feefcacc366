"""Reading a dataset for training beside ImageFolder: ``python -m image_assets_tests.benchmarks.loading``.

The images of a store are written out as the files they are, one folder a class, for torchvision's ImageFolder. All
loaders give the same tensors (uint8, channels first) in shuffled batches of 64, decoding included, in turns, an epoch
each, with nothing kept of the epoch before but the system's page cache. Needs torch and torchvision.
"""

import argparse
import resource
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from image_assets import open_dataset
from image_assets.loaders.order import Blocks, Epoch, Order
from image_assets_tests.benchmarks.files import CACHE, SAMPLE_PHOTOS, imagenet_like
from image_assets_tests.benchmarks.processes import measure_run

BATCH_SIZE = 64
LOADERS = ("ImageFolder", "to_torch_stream", "to_torch, its sampler", "to_torch, RandomSampler")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=SAMPLE_PHOTOS, help="photographs to cut the images from")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    store, files = _inputs(options.images, options.photos)
    for name in LOADERS:
        _measure_one(name, 0, store, files)
    for workers in (0, 2):
        found: dict[str, list[dict[str, float]]] = {name: [] for name in LOADERS}
        for _ in range(options.repeat):
            for name in LOADERS:
                found[name].append(_measure_one(name, workers, store, files))
        _print_table(workers, {name: min(runs, key=lambda run: run["cpu_ms"]) for name, runs in found.items()}, found)
    _print_randomness()


def _inputs(count: int, photos: Path) -> tuple[Path, Path]:
    """Return a store of 224 px JPEGs and a folder of the same, made once."""
    store = CACHE / f"loading-store-{photos.resolve().name}-{count}"
    files = CACHE / f"loading-files-{photos.resolve().name}-{count}"
    if not store.exists():
        measure_run(imagenet_like(count, photos), workers=2, store=str(store))
    if not files.exists():
        aside = files.with_suffix(".partial")
        with open_dataset(store) as dataset:
            for rows in dataset.row_batches(256, ["key", "label", "segment", "row"]):
                for row, data in zip(rows.to_pylist(), dataset.encoded(rows), strict=True):
                    path = aside / row["label"] / Path(row["key"]).name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
        aside.rename(files)
    return store, files


def _measure_one(name: str, workers: int, store: Path, files: Path) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    dataset, sampler = _dataset(name, store, files)
    shuffled = {} if sampler is None else {"sampler": sampler}
    loader = torch.utils.data.DataLoader(dataset, BATCH_SIZE, num_workers=workers, **shuffled)
    cpu_s, started_at, images = _cpu_s(), time.perf_counter(), 0
    for batch in loader:
        assert batch["image"].dtype == torch.uint8
        images += len(batch["label"])
    wall_s = time.perf_counter() - started_at
    # The processor time of workers is known when they have ended.
    del loader
    return {"images_s": images / wall_s, "cpu_ms": (_cpu_s() - cpu_s) / images * 1000}


def _dataset(name: str, store: Path, files: Path) -> tuple[Any, Any]:
    """Return a dataset and a sampler, None where it shuffles by itself."""
    import torch
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import PILToTensor

    from image_assets.loaders import to_torch, to_torch_stream

    if name == "ImageFolder":
        folder = _Named(ImageFolder(files, PILToTensor()))
        return folder, torch.utils.data.RandomSampler(folder)
    with open_dataset(store) as opened:
        if name == "to_torch_stream":
            return to_torch_stream(opened), None
        images = to_torch(opened)
    return images, images.sampler() if name == "to_torch, its sampler" else torch.utils.data.RandomSampler(images)


class _Named:
    """ImageFolder's pairs as the dictionaries that the others give."""

    def __init__(self, folder: Any) -> None:
        self._folder = folder

    def __len__(self) -> int:
        return len(self._folder)

    def __getitem__(self, number: int) -> dict[str, Any]:
        image, label = self._folder[number]
        return {"image": image, "label": label}


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _print_table(workers: int, best: dict[str, dict[str, float]], all_runs: dict[str, list[dict[str, float]]]) -> None:
    print(f"\n| {workers} workers | images/s | x ImageFolder | CPU ms an image | x ImageFolder |")
    print("|---|---:|---:|---:|---:|")
    rates = {name: max(run["images_s"] for run in runs) for name, runs in all_runs.items()}
    for name, run in best.items():
        rate = f"{rates[name]:,.0f} | {rates[name] / rates['ImageFolder']:.2f}"
        print(f"| {name} | {rate} | {run['cpu_ms']:.2f} | {run['cpu_ms'] / best['ImageFolder']['cpu_ms']:.2f} |")


def _print_randomness(rows: int = 100_000, epochs: int = 20) -> None:
    """Print how much oftener than at large two images of one block meet in a batch, for some windows."""
    blocks = Blocks(np.arange(rows) // BATCH_SIZE)
    print(f"\n| window, of {rows:,} images | partners of the same block in a batch | at large |\n|---|---:|---:|")
    for window_rows in (256, 1024, 4096, 16384, rows):
        order = Order(window_rows=window_rows)
        met = [_partners(batch, blocks) for number in range(epochs) for batch in _batches(blocks, order, number)]
        print(f"| {window_rows:,} | {np.mean(met):.2f} | {(BATCH_SIZE - 1) ** 2 / (rows - 1):.2f} |")


def _batches(blocks: Blocks, order: Order, number: int) -> Iterator[np.ndarray[Any, Any]]:
    rows = np.concatenate(list(Epoch(blocks, order, "", number).windows(0, blocks.num_rows)))
    yield from np.split(rows[: len(rows) // BATCH_SIZE * BATCH_SIZE], len(rows) // BATCH_SIZE)


def _partners(batch: np.ndarray[Any, Any], blocks: Blocks) -> float:
    """Return how many others of its own block an image of a batch has beside it, on average."""
    counts = Counter(blocks.of_row[batch].tolist()).values()
    return sum(count * (count - 1) for count in counts) / len(batch)


if __name__ == "__main__":
    main()
