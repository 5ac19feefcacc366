"""The checks of quality: what they find of photographs that were spoiled on purpose, and what measuring costs.

    python -m image_assets_tests.benchmarks.quality truth --photos FOLDER
    python -m image_assets_tests.benchmarks.quality drift --photos FOLDER
    python -m image_assets_tests.benchmarks.quality cost --photos FOLDER

``truth`` puts photographs and spoiled copies through a run and counts which are flagged. ``drift`` draws datasets from
the photographs, as they are and changed, and counts alarms. ``cost`` compares measuring an image with decoding it, and
takes the time of a large dataset in which nothing is new.
"""

import argparse
import hashlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from image_assets.core.dataset_statistics import HISTOGRAMS
from image_assets.core.drift import jensen_shannon, population_stability
from image_assets.core.index import INDEX_SCHEMA, IndexHead, output_id
from image_assets.core.perceptual import hash_pixels
from image_assets.core.pixel_statistics import METHOD, measure_pixels
from image_assets.pipeline.pixels import decoded_pixels
from image_assets.pipeline.quality import build_quality
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings, make_settings
from image_assets.settings.quality import QualitySettings
from image_assets.storage import layout
from image_assets.storage.chunks import keep_chunk
from image_assets.storage.identity import open_store
from image_assets.storage.indexes import publish_index, staged_index
from image_assets.storage.pixel_statistics import MEASURE_FIELDS
from image_assets.storage.store import Store
from image_assets_tests.benchmarks.processes import measure_module

_MODULE = "image_assets_tests.benchmarks.quality"
_LARGE = 1_000_000
_SIDE_PX = 400
_ORIGINAL = "as it is"
_SHOWN = ("dark", "bright", "blurry", "low_information", "odd_size", "odd_aspect_ratio", "grayscale")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["truth", "drift", "cost", "build"])
    parser.add_argument("--photos", type=Path, default=Path("data/photos"))
    parser.add_argument("--keep", type=Path, help="folder for the copies and the store of `truth`; used again")
    given = parser.parse_args()
    what = {"truth": _print_truth, "drift": _print_drift, "cost": _print_cost, "build": _build}
    what[given.what](given.photos, given.keep)


def _exposed(stops: float) -> Callable[[Image.Image], Image.Image]:
    """Return what a camera would have taken with more or less light: twice as much a stop, in linear light."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) * 2.0**stops
    clipped = linear.clip(0, 1)
    encoded = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
    table = np.rint(encoded * 255).astype(int).tolist() * 3
    return lambda image: image.point(table)


def _blurred(radius: float) -> Callable[[Image.Image], Image.Image]:
    """Return a blur whose standard deviation is so many pixels of an image of 224."""
    return lambda image: image.filter(ImageFilter.GaussianBlur(radius * min(image.size) / 224))


def _shaken(length: int) -> Callable[[Image.Image], Image.Image]:
    """Return a blur across, as wide as so many pixels of an image of 224."""

    def shaken(image: Image.Image) -> Image.Image:
        width = round(length * min(image.size) / 224)
        sums = np.pad(np.asarray(image, np.float32), ((0, 0), (width, 0), (0, 0)), mode="edge").cumsum(axis=1)
        return Image.fromarray(((sums[:, width:] - sums[:, :-width]) / width).clip(0, 255).astype(np.uint8))

    return shaken


def _small(side_px: int) -> Callable[[Image.Image], Image.Image]:
    return lambda image: ImageOps.contain(image, (side_px, side_px), Image.Resampling.LANCZOS)


def _on_white(share: float) -> Callable[[Image.Image], Image.Image]:
    """Return the photograph on a white ground, of which it takes so much."""

    def on_white(image: Image.Image) -> Image.Image:
        whole = ImageOps.fit(image, (_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
        ground = Image.new("RGB", whole.size, "white")
        small = ImageOps.scale(whole, share**0.5, Image.Resampling.LANCZOS)
        ground.paste(small, ((whole.width - small.width) // 2, (whole.height - small.height) // 2))
        return ground

    return on_white


def _cut_out(image: Image.Image) -> Image.Image:
    """Return what is of the photograph within the outline of a shirt, on a white ground."""
    whole = ImageOps.fit(image, (_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
    outline = [(35, 10), (65, 10), (95, 35), (85, 52), (70, 42), (70, 92), (30, 92), (30, 42), (15, 52), (5, 35)]
    mask = Image.new("L", whole.size)
    ImageDraw.Draw(mask).polygon([(_SIDE_PX * x // 100, _SIDE_PX * y // 100) for x, y in outline], fill=255)
    return Image.composite(whole, Image.new("RGB", whole.size, "white"), mask)


def _compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=20)
    return Image.open(buffer).convert("RGB")


def _page(image: Image.Image) -> Image.Image:
    """Return a scan of a page with a line of text, on paper that depends on the photograph."""
    rng = np.random.default_rng(np.asarray(image)[:8].sum())
    page = Image.fromarray(rng.normal(245, 0.7, (*image.size[::-1], 3)).clip(0, 255).astype(np.uint8))
    ImageDraw.Draw(page).text((image.width // 3, image.height // 2), "no image available", fill="black")
    return page


def _capped(image: Image.Image) -> Image.Image:
    """Return what a camera sees with its cap on: noise."""
    rng = np.random.default_rng(np.asarray(image)[:8].sum())
    return Image.fromarray(rng.normal(8, 3, (*image.size[::-1], 3)).clip(0, 255).astype(np.uint8))


def _flat(image: Image.Image) -> Image.Image:
    return Image.new("RGB", image.size, image.getpixel((image.width // 2, image.height // 2)))


def _strip(image: Image.Image) -> Image.Image:
    return image.crop((0, 0, image.width, max(1, image.width // 4)))


def _toned(image: Image.Image) -> Image.Image:
    return ImageOps.colorize(image.convert("L"), "#1a0f00", "#fff0d0")


def _faded(share: float, other: Callable[[Image.Image], Image.Image]) -> Callable[[Image.Image], Image.Image]:
    return lambda image: Image.blend(other(image), image, share)


def _gray(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


# What is done to a copy, and which issues it has then; ``?`` marks what may be said of it as well.
_CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    _ORIGINAL: (lambda image: image, ""),
    "2 stops darker": (_exposed(-2), "dark?"),
    "3 stops darker": (_exposed(-3), "dark"),
    "4 stops darker": (_exposed(-4), "dark"),
    "2 stops brighter": (_exposed(2), "bright?"),
    "3 stops brighter": (_exposed(3), "bright"),
    "4 stops brighter": (_exposed(4), "bright low_information?"),
    "half on a white ground": (_on_white(0.5), ""),
    "a fifth on a white ground": (_on_white(0.2), ""),
    "cut out on a white ground": (_cut_out, ""),
    "blurred by 1 px": (_blurred(1), "blurry?"),
    "blurred by 2 px": (_blurred(2), "blurry"),
    "blurred by 4 px": (_blurred(4), "blurry"),
    "shaken by 9 px": (_shaken(9), "blurry"),
    "shaken by 17 px": (_shaken(17), "blurry"),
    "48 px enlarged": (_small(48), "blurry odd_size"),
    "96 px enlarged": (_small(96), "blurry? odd_size?"),
    "JPEG quality 20": (_compressed, ""),
    "a quarter of the contrast": (_faded(0.25, lambda image: Image.new("RGB", image.size, (128, 128, 128))), ""),
    "gray": (_gray, "grayscale"),
    "a fifth of the colour": (_faded(0.2, _gray), ""),
    "sepia": (_toned, ""),
    "one colour": (_flat, "low_information dark? bright? grayscale?"),
    "an empty page": (_page, "low_information bright? grayscale?"),
    "lens cap on": (_capped, "dark low_information? grayscale?"),
    "a strip of 4 to 1": (_strip, "odd_aspect_ratio blurry?"),
}


def _print_truth(photos: Path, keep: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = _run(_copies(photos), keep or Path(folder))
        build_quality(settings)
        flagged = _flagged(settings)
        sharpness = _sharpness(settings)
        white = _white(settings)
    names = ["change", "images", *_SHOWN]
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for change, found in flagged.items():
        cells = []
        for issue in _SHOWN:
            share = f"{100 * np.mean([issue in issues for issues in found]):.1f}"
            cells.append(f"**{share}**" if issue in _wanted(change) else share)
        print(f"| {change} | {len(found)} | {' | '.join(cells)} |")
    print("\n| issue | images with it | recall | precision | of the photographs as they are |\n|---|---|---|---|---|")
    for issue in _SHOWN:
        print(_of_issue(issue, flagged))
    _print_white(white)
    _print_sharpness(sharpness)


def _of_issue(issue: str, flagged: dict[str, list[set[str]]]) -> str:
    """Return recall and precision; what may be said of a copy as well counts neither for nor against."""
    right = sum(issue in found for change, every in flagged.items() if issue in _wanted(change) for found in every)
    wanted = sum(len(every) for change, every in flagged.items() if issue in _wanted(change))
    no = [
        every
        for change, every in flagged.items()
        if issue not in _wanted(change) and f"{issue}?" not in _wanted(change)
    ]
    wrong = sum(issue in found for every in no for found in every)
    plain = 100 * np.mean([issue in found for found in flagged[_ORIGINAL]])
    precision = right / max(right + wrong, 1)
    numbers = f"{wanted} of {wanted + sum(map(len, no))} | {right / wanted:.3f} | {precision:.3f} | {plain:.1f} %"
    return f"| {issue} | {numbers} |"


def _wanted(change: str) -> list[str]:
    return _CHANGES[change][1].split()


def _copies(photos: Path) -> Iterator[tuple[str, Image.Image]]:
    for number, image in enumerate(_photographs(photos)):
        for change, (make, _) in _CHANGES.items():
            yield f"{change}/{number:06d}.jpg", make(image)


def _photographs(photos: Path) -> Iterator[Image.Image]:
    for path in sorted(path for path in photos.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"}):
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        yield ImageOps.scale(image, _SIDE_PX / min(image.size), Image.Resampling.LANCZOS)


def _run(copies: Iterator[tuple[str, Image.Image]], folder: Path) -> Settings:
    content = {"name": "truth", "source": {"path": "raw"}, "store": "store", "features": {"extractor": "none"}}
    settings = make_settings({**content, "exports": []}, base=folder)
    if not (folder / "store").exists():
        for name, image in copies:
            path = folder / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, quality=90)
        run_dataset(settings)
    return settings


def _flagged(settings: Settings) -> dict[str, list[set[str]]]:
    """Return the issues of each copy, by the change that made it."""
    with open_dataset(settings.store) as dataset:
        keys = dataset.table(["key"])["key"].to_pylist()
    issues = pq.read_table(Path(settings.store, "image_quality.parquet"))["issues"].to_pylist()
    found: dict[str, list[set[str]]] = {change: [] for change in _CHANGES}
    for key, names in zip(keys, issues, strict=True):
        found[key.split("/")[0]].append(set(names))
    return found


def _sharpness(settings: Settings) -> dict[str, NDArray[np.float64]]:
    """Return Crete's blur and, below zero, the variance of the Laplacian of each copy, shape (n, 2)."""
    blur = pq.read_table(Path(settings.store, "image_quality.parquet"))["blur"].to_numpy()
    found: dict[str, list[tuple[float, float]]] = {}
    with open_dataset(settings.store) as dataset:
        for row in range(len(dataset)):
            change = dataset.values(row, ["key"])["key"].split("/")[0]
            gray = np.asarray(Image.fromarray(dataset.image(row)).convert("L"), np.float64)
            found.setdefault(change, []).append((blur[row], -_laplacian_variance(gray)))
    return {change: np.array(values) for change, values in found.items()}


def _white(settings: Settings) -> dict[str, NDArray[np.float64]]:
    """Return which part of each copy is white."""
    parts = pq.read_table(Path(settings.store, "image_quality.parquet"))["white_fraction"].to_numpy()
    with open_dataset(settings.store) as dataset:
        changes = np.array([key.split("/")[0] for key in dataset.table(["key"])["key"].to_pylist()])
    return {change: parts[changes == change] for change in _CHANGES}


def _print_white(white: dict[str, NDArray[np.float64]]) -> None:
    grounds = [f"{part} on a white ground" for part in ("half", "a fifth", "cut out")]
    shown = [_ORIGINAL, *(f"{stops} stops brighter" for stops in (2, 3, 4)), *grounds]
    print(f"\n| white at least | {' | '.join(shown)} |\n|{'---|' * (len(shown) + 1)}")
    for limit in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        print(f"| {limit} | {' | '.join(f'{100 * (white[change] >= limit).mean():.1f}' for change in shown)} |")


def _laplacian_variance(gray: NDArray[np.float64]) -> float:
    around = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:]
    return float((around - 4 * gray[1:-1, 1:-1]).var())


def _print_sharpness(sharpness: dict[str, NDArray[np.float64]]) -> None:
    limits = np.quantile(sharpness[_ORIGINAL], 0.99, axis=0)
    print(f"\nLimits above which one photograph of a hundred is: blur {limits[0]:.3f}, Laplacian {-limits[1]:.0f}\n")
    print("| change | Crete's blur | variance of the Laplacian |\n|---|---|---|")
    for change in _CHANGES:
        blur, laplacian = 100 * (sharpness[change] > limits).mean(axis=0)
        print(f"| {change} | {blur:.1f} | {laplacian:.1f} |")


def _print_drift(photos: Path, _: Path | None) -> None:
    plain, labels = _measured(photos, lambda image: image)
    limits = QualitySettings()
    changes = {
        "the same": lambda image: image,
        "half a stop darker": _exposed(-0.5),
        "one stop darker": _exposed(-1),
        "blurred by 1 px": _blurred(1),
        "half of the colour": _faded(0.5, _gray),
    }
    print(f"| images | {' | '.join(changes)} | labels: the same | labels: one doubled | labels: half of them |")
    print(f"|{'---|' * (len(changes) + 4)}")
    measured = {name: _measured(photos, change)[0] for name, change in changes.items()}
    for count in (100, 200, 500, 2000):
        rng = np.random.default_rng(count)
        cells = [_pixel_alarms(rng, count, plain, changed, limits) for changed in measured.values()]
        cells += [_label_alarms(rng, count, labels, weight, limits) for weight in (None, 2, 0)]
        print(f"| {count} | {' | '.join(cells)} |")


def _measured(photos: Path, change: Callable[[Image.Image], Image.Image]) -> tuple[NDArray[np.float64], list[str]]:
    """Return brightness, blur and colourfulness of each photograph, shape (n, 3), and their labels."""
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    values = []
    for image in _photographs(photos):
        fitted = ImageOps.fit(change(image), (224, 224), Image.Resampling.LANCZOS)
        found = measure_pixels(np.asarray(fitted))
        values.append((found.luma_mean, found.blur, found.colourfulness))
    return np.array(values), [path.parent.name for path in paths]


def _pixel_alarms(
    rng: np.random.Generator,
    count: int,
    plain: NDArray[np.float64],
    changed: NDArray[np.float64],
    limits: QualitySettings,
) -> str:
    """Return of how many of 200 pairs of datasets, drawn with replacement, drift is told (without the guard)."""
    alarms = unguarded = 0
    for _ in range(200):
        before, after = plain[rng.integers(0, len(plain), count)], changed[rng.integers(0, len(plain), count)]
        found = [
            population_stability(bins.counts(before[:, at]).tolist(), bins.counts(after[:, at]).tolist())
            for at, bins in enumerate(HISTOGRAMS[name] for name in ("brightness", "blur", "colourfulness"))
        ]
        over = [drift for drift in found if drift.distance > limits.pixel_drift.max_psi]
        unguarded += bool(over)
        alarms += any(drift.distance > drift.by_chance for drift in over)
    return f"{alarms / 2:g} ({unguarded / 2:g})"


def _label_alarms(
    rng: np.random.Generator, count: int, labels: list[str], weight: int | None, limits: QualitySettings
) -> str:
    names, counts = np.unique(labels, return_counts=True)
    shares = counts / counts.sum()
    others = shares.copy()
    if weight is not None:
        others[: 1 if weight else len(names) // 2] *= weight
        others /= others.sum()
    alarms = unguarded = 0
    for _ in range(200):
        before, after = (
            dict(zip(names.tolist(), rng.multinomial(count, of).tolist(), strict=True)) for of in (shares, others)
        )
        drift = jensen_shannon(before, after)
        over = drift.distance > limits.label_drift.max_distance
        unguarded += over
        alarms += over and drift.distance > drift.by_chance
    return f"{alarms / 2:g} ({unguarded / 2:g})"


def _print_cost(photos: Path, _: Path | None) -> None:
    encoded = []
    for image in _photographs(photos):
        buffer = io.BytesIO()
        ImageOps.fit(image, (224, 224), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
        encoded.append(buffer.getvalue())
    pixels = [decoded_pixels(data) for data in encoded]
    print("| of an image of 224 x 224 | CPU ms |\n|---|---|")
    for name, work, items in (
        ("decode", decoded_pixels, encoded),
        ("perceptual hash", hash_pixels, pixels),
        ("measure", measure_pixels, pixels),
    ):
        print(f"| {name} | {min(_cpu_ms(work, items) for _ in range(3)):.2f} |")

    print(f"\n| of {_LARGE:,} images, none of them new | CPU s | peak MB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        _write_large(Path(folder))
        for name in ("a new index, and one before it", "nothing changed"):
            said = measure_module(_MODULE, "build", "--keep", folder).printed
            print(f"| {name} | {said['cpu_s']:.1f} | {said['peak_mb']:.0f} |")


def _write_large(folder: Path) -> None:
    """Write two indexes of a store, and what was measured of their images, without any image."""
    store = open_store(_large_settings(folder))
    rng = np.random.default_rng(0)
    for number in (1, 2):
        head = IndexHead("large", number, f"{number}" * 64, _LARGE, "0" * 16, 16, "2026-01-01", {}, {})
        with staged_index(head, _large_pieces(store, rng, number)) as staged:
            publish_index(store, number, staged)


def _large_pieces(store: Store, rng: np.random.Generator, number: int) -> Iterator[pa.Table]:
    piece = 8192
    for first in range(0, _LARGE, piece):
        count = min(piece, _LARGE - first)
        keys = [f"{at % 100:02d}/{at:09d}.jpg" for at in range(first, first + count)]
        outputs = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
        values: dict[str, Any] = dict.fromkeys(INDEX_SCHEMA.names)
        values |= {
            "id": [output_id(key, 0) for key in keys],
            "key": keys,
            "label": rng.choice(list("abcdefgh"), count),
            "sha256": outputs,
            "output_sha256": outputs,
            "bucket": np.sort(np.arange(first, first + count) * 4096 // _LARGE),
            "flags": [[] for _ in keys],
        }
        sides = {name: rng.integers(200, 4000, count) for name in ("raw_width_px", "raw_height_px")}
        values |= {**sides, "segment": ["0" * 64] * count, "format": ["jpeg"] * count}
        values |= {name: np.full(count, 0 if name in {"variant", "row"} else 224) for name in ("variant", "row",
                   "width_px", "height_px")}  # fmt: skip
        arrays = [pa.nulls(count, f.type) if values[f.name] is None else pa.array(values[f.name]).cast(f.type)
                  for f in INDEX_SCHEMA]  # fmt: skip
        if number == 1:
            tops = {field.name: 2 if field.type == pa.float32() else 200 for field in MEASURE_FIELDS}
            measures = {name: rng.integers(0, top, count) for name, top in tops.items()}
            columns = [pa.array(measures[field.name]).cast(field.type) for field in MEASURE_FIELDS]
            chunk = pa.table([pa.array(outputs), *columns], names=["output_sha256", *measures])
            keep_chunk(store, layout.pixel_statistics_of(METHOD), chunk)
        yield pa.table(arrays, schema=INDEX_SCHEMA)


def _large_settings(folder: Path) -> Settings:
    return make_settings({"name": "large", "source": {"path": "raw"}, "store": "store"}, base=folder)


def _build(_: Path, keep: Path | None) -> None:
    """Be the process that is measured."""
    assert keep is not None
    started = time.process_time()
    assert build_quality(_large_settings(keep)).measured == 0
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"cpu_s": time.process_time() - started, "peak_mb": int(line.split()[1]) / 1000}))


def _cpu_ms(work: Callable[[Any], Any], items: list[Any]) -> float:
    started = time.process_time()
    for item in items:
        work(item)
    return 1000 * (time.process_time() - started) / len(items)


if __name__ == "__main__":
    main()
