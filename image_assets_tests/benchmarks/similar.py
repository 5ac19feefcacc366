"""What embedding takes by extractor, and what a search for similar images takes and finds, exactly or not."""

import argparse
import hashlib
import importlib.util
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.index import INDEX_SCHEMA, IndexHead
from image_assets.features import build_extractor
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.similar import ImageSearch
from image_assets.pipeline.similarity_index import build_similarity
from image_assets.settings import Settings, make_settings
from image_assets.settings.features import FeatureSettings
from image_assets.storage import layout
from image_assets.storage.identity import open_store
from image_assets.storage.indexes import publish_index, staged_index
from image_assets.storage.vectors import VectorHead, publish_vectors, staged_vectors

_PIECE_ROWS = 1024
_NEAREST = 10
_NOISE = 0.05
_TORCH_MODELS = (("timm", "resnet50"), ("torchvision", "resnet50"), ("torchvision", "vgg16"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["embed", "search"])
    parser.add_argument("--photos", type=Path, default=Path("data/photos"), help="folder of photographs")
    parser.add_argument("--variants", type=int, default=9, help="augmented variants of each, as further real vectors")
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 50_000, 200_000], help="rows to search in")
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "embed":
            embed(options, Path(folder))
        else:
            search(options, Path(folder))


def embed(options: Any, folder: Path) -> None:
    """Print how many images a second each extractor embeds, in turns, the best of three."""
    with open_dataset(store_of_photos(options, folder, variants=0).store) as dataset:
        images = next(dataset.batches(batch_size=64))["image"]
    cache = folder / "models"
    kinds = [FeatureSettings(extractor="colour-moments"), FeatureSettings()]
    build_extractor(FeatureSettings(), cache_dir=cache, threads=2)
    kinds.append(FeatureSettings(extractor=f"onnx:{next(cache.glob('*.onnx'))}", output="embedding"))
    kinds += [with_random_weights(*model, folder) for model in _TORCH_MODELS if importlib.util.find_spec(model[0])]
    extractors = [build_extractor(kind, cache_dir=cache, threads=2) for kind in kinds]
    best: dict[str, tuple[float, float]] = {}
    for _ in range(3):
        for extractor in extractors:
            seconds, cpu_s = timed(lambda extractor=extractor: extractor.embed(images))
            best[extractor.name] = min(best.get(extractor.name, (np.inf, np.inf)), (seconds, cpu_s))
    print(f"{'extractor':<60} {'dim':>5} {'images/s':>9} {'CPU ms':>7}")
    for extractor in extractors:
        seconds, cpu_s = best[extractor.name]
        rate, cost = len(images) / seconds, 1000 * cpu_s / len(images)
        print(f"{extractor.name:<60} {extractor.dim:>5} {rate:>9.1f} {cost:>7.1f}")


def search(options: Any, folder: Path) -> None:
    """Print what building and searching take, and which part of the ten nearest an approximate search finds."""
    settings = store_of_photos(options, folder, variants=options.variants)
    with open_dataset(settings.store) as dataset:
        real = dataset.vectors()
    print(f"{len(real)} real vectors of {real.shape[1]} numbers; the others lie between two of them, with noise")
    print("build, open, exact, approximate: CPU seconds, of the two searches for one question")
    heads = ("rows", "build", "graph MB", "open", "exact", "approx.", "recall@10", "peak MB")
    print(" ".join(f"{head:>9}" for head in heads))
    for rows in options.rows:
        print(" ".join(f"{cell:>9}" for cell in measure(real, rows, folder / str(rows), options.queries)), flush=True)


def measure(real: NDArray[np.float32], rows: int, folder: Path, queries: int) -> list[str]:
    """Return one line of the table."""
    settings = make_settings(
        {"name": "many", "source": {"path": "raw"}, "store": "store",
         "similarity": {"approximate": True, "exact_below_rows": 0}}, base=folder,
    )  # fmt: skip
    publish(settings, real, rows)
    _, build_s = timed(lambda: build_similarity(settings))
    size = sum(file.size_bytes for file in open_store(settings).list(layout.SIMILARITY))
    asked = [between(real, np.random.default_rng([1, number]), 1)[0] for number in range(queries)]
    with open_dataset(settings.store) as dataset, ImageSearch(dataset, exact=True) as exact:
        truth: list[Any] = []
        _, exact_s = timed(lambda: truth.extend(exact.nearest(one, _NEAREST) for one in asked))
        started = time.process_time()
        with ImageSearch(dataset) as approximate:
            approximate.nearest(asked[0], _NEAREST)
            open_s = time.process_time() - started
            found: list[Any] = []
            _, approximate_s = timed(lambda: found.extend(approximate.nearest(one, _NEAREST) for one in asked))
    hits = [len({i.row for i in one} & {i.row for i in other}) for one, other in zip(truth, found, strict=True)]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        f"{rows}", f"{build_s:.1f}", f"{size / 1e6:.0f}", f"{open_s:.2f}",
        f"{exact_s / queries:.3f}", f"{approximate_s / queries:.3f}",
        f"{sum(hits) / (_NEAREST * queries):.4f}", f"{peak_mb:.0f}",
    ]  # fmt: skip


def publish(settings: Settings, real: NDArray[np.float32], rows: int) -> None:
    """Publish an index and vectors of so many rows: the real ones first."""
    store = open_store(settings)
    index = IndexHead("many", 1, f"{rows:064x}", rows, "recipe", 1, "2026-01-01T00:00:00+00:00", {}, {})
    with staged_index(index, (piece for piece, _ in pieces(real, rows))) as staged:
        publish_index(store, 1, staged)
    head = VectorHead("made-up", "0" * 64, real.shape[1], 1, index.digest, rows)
    with staged_vectors(head, pieces(real, rows)) as staged:
        publish_vectors(store, staged)


def pieces(real: NDArray[np.float32], rows: int) -> Iterator[tuple[pa.Table, NDArray[np.float32]]]:
    """Yield index rows and their vectors, the same each time."""
    for first in range(0, rows, _PIECE_ROWS):
        numbers = range(first, min(first + _PIECE_ROWS, rows))
        vectors = between(real, np.random.default_rng([0, first]), len(numbers))
        known = real[first : first + len(numbers)]
        vectors[: len(known)] = known
        made = [
            {"id": f"{number:032x}", "key": f"{number:08d}.jpg", "variant": 0, "width_px": 224, "height_px": 224,
             "format": "jpeg", "sha256": "0" * 64, "output_sha256": hashlib.sha256(b"%d" % number).hexdigest(),
             "segment": "0" * 64, "row": number, "bucket": number * 4096 // rows}
            for number in numbers
        ]  # fmt: skip
        yield pa.Table.from_pylist(made, schema=INDEX_SCHEMA), vectors


def between(real: NDArray[np.float32], rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Return vectors that each lie between two real ones, with noise."""
    one, other = (real[rng.integers(0, len(real), count)] for _ in range(2))
    part = rng.uniform(0, 0.5, (count, 1))
    vectors = (1 - part) * one + part * other + rng.normal(0, _NOISE, one.shape)
    return vectors.astype(np.float32)


def store_of_photos(options: Any, folder: Path, *, variants: int) -> Settings:
    """Return the settings of a dataset of the photographs, with vectors."""
    content = {
        "name": "photos", "source": {"path": str(options.photos.resolve())}, "store": "photos", "exports": [],
        "augment": {"variants": variants}, "features": {"extractor": "efficientnet-lite0" if variants else "none"},
    }  # fmt: skip
    settings = make_settings(content, base=folder)
    run_dataset(settings)
    return settings


def with_random_weights(library: str, model: str, folder: Path) -> FeatureSettings:
    """Return settings for a model of PyTorch; how long it takes does not depend on its weights."""
    import torch

    path = folder / f"{library}-{model}.pth"
    if library == "timm":
        import timm

        module = timm.create_model(model, pretrained=False)
    else:
        from torchvision import models

        module = models.get_model(model, weights=None)
    torch.save(module.state_dict(), path)
    return FeatureSettings(extractor=f"{library}:{model}", weights=str(path))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of this process that some work takes."""
    started, cpu_started = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu_started


if __name__ == "__main__":
    main()
