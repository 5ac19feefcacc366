"""What decoding costs in a whole run, against bare Pillow: an image more, a worker more, and large originals."""

from dataclasses import dataclass
from pathlib import Path

from image_assets_tests.benchmarks.files import imagenet_like, large_originals
from image_assets_tests.benchmarks.processes import Measured, measure_module, measure_run, print_line

_YARDSTICKS = "image_assets_tests.benchmarks.yardsticks"
_FEW, _MANY = 1000, 4000
_WORKERS = (1, 2)
_LARGE = 40
_MEMORY_MB = 400


def report_marginal(photos: Path, repeat: int) -> None:
    """Print what each further JPEG costs, in processor time against bare decoding, and what a second worker gains.

    A run over 4,000 files less one over 1,000 of them: start-up, commits and the index fall out.
    """
    few, many = imagenet_like(_FEW, photos), imagenet_like(_MANY, photos)
    bare, full = ({workers: _Costs([], []) for workers in _WORKERS} for _ in range(2))
    for _ in range(repeat):  # in turns, so that whatever else the machine does hits all of them
        for workers in _WORKERS:
            for files in (few, many):
                bare[workers].of(files == many).append(measure_module(_YARDSTICKS, "decode", str(files), str(workers)))
                full[workers].of(files == many).append(measure_run(files, workers=workers))
    assert all(run.printed["decoded"] == _MANY for workers in _WORKERS for run in full[workers].many)
    print(f"\nfrom {_FEW} to {_MANY} JPEGs, per image")
    for workers in _WORKERS:
        bare_ms, full_ms = bare[workers].cpu_ms(), full[workers].cpu_ms()
        print_line(f"bare Pillow decoding in {workers}, processor", bare_ms, "ms", _wall(bare[workers]))
        print_line(f"image-assets run --workers {workers}, processor", full_ms, "ms", _wall(full[workers]))
        print_line("ratio", full_ms / bare_ms, "x", "target <= 1.5")
    print_line("wall, 1 worker to 2 workers", full[1].wall_ms() / full[2].wall_ms(), "x", "target >= 1.8")
    peak_bytes = max(run.printed["peak_memory_bytes"] for run in full[2].many)
    print_line(f"peak memory of all processes, {_MANY} JPEGs", peak_bytes / 1e6, "MB", f"target < {_MEMORY_MB} MB")


def report_large(photos: Path, repeat: int) -> None:
    """Print what originals of 12 megapixels cost against decoding them in full by Pillow."""
    folder = large_originals(_LARGE, photos)
    sizes = [path.stat().st_size for path in folder.rglob("*.jpg")]
    print(f"\n{len(sizes)} JPEGs of 12 megapixels, {sum(sizes) / len(sizes) / 1e6:.1f} MB each, to 224x224")
    pillow_s, ours_s, peak_bytes = [], [], []
    for _ in range(repeat):
        pillow_s.append(measure_module(_YARDSTICKS, "thumbnails", str(folder)).printed["cpu_s"])
        ours_s.append(measure_module(_YARDSTICKS, "renderer", str(folder)).printed["cpu_s"])
        peak_bytes.append(measure_run(folder, workers=2).printed["peak_memory_bytes"])
    images = len(sizes)
    print_line("Pillow decode, Lanczos, encode, processor", min(pillow_s) / images * 1e3, "ms", "per image")
    print_line("the same outputs by the platform's chain, processor", min(ours_s) / images * 1e3, "ms", "per image")
    print_line("ratio", min(pillow_s) / min(ours_s), "x", "target >= 3.0")
    print_line("peak memory of all processes, 2 workers", max(peak_bytes) / 1e6, "MB", f"target < {_MEMORY_MB} MB")


@dataclass(frozen=True, slots=True)
class _Costs:
    """Runs over few and over many files."""

    few: list[Measured]
    many: list[Measured]

    def of(self, many: bool) -> list[Measured]:
        return self.many if many else self.few

    def wall_ms(self) -> float:
        return _per_image_ms([run.wall_s for run in self.few], [run.wall_s for run in self.many])

    def cpu_ms(self) -> float:
        return _per_image_ms([run.cpu_s for run in self.few], [run.cpu_s for run in self.many])


def _per_image_ms(few_s: list[float], many_s: list[float]) -> float:
    return (min(many_s) - min(few_s)) / (_MANY - _FEW) * 1e3


def _wall(costs: _Costs) -> str:
    return f"wall {costs.wall_ms():.2f} ms"
