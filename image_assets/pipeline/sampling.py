"""A stable sample of a published dataset: its rows, its keys, and files of it in any format."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import ConfigError
from image_assets.core.index import digest_of
from image_assets.core.sampling import only_sampled, refuse_fraction
from image_assets.formats import find_format
from image_assets.formats.publishing import published_whole
from image_assets.pipeline.exporting import ExportTarget
from image_assets.pipeline.reading import Dataset, open_dataset
from image_assets.pipeline.sample_streams import part_stream

_KEYS_SUFFIX = ".txt"
_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What a sample holds: so many rows of so many images (keys); ``digest`` is that of a dataset of these rows."""

    dataset: str
    fraction: float
    rows: int
    images: int
    of_rows: int
    digest: str
    output: tuple[Path, ...] = ()


def write_sample(store_url: str, fraction: float, target: ExportTarget | Path) -> SampleReport:
    """Write a sample of the newest index: in formats, or its keys, one a line, to a path.

    Raises:
        ConfigError: the fraction is none, a format does not fit, or a key has a line break.
        DatasetError: nothing was published in the store.
        StoreError: the store does not answer or is damaged.
        OSError: a file cannot be written.
    """
    refuse_fraction(fraction)
    with open_dataset(store_url) as dataset:
        rows, images, digest = _look(dataset, fraction)
        if isinstance(target, Path):
            target.parent.mkdir(parents=True, exist_ok=True)
            with published_whole(target) as part, part.open("w", encoding="utf-8", newline="") as file:
                file.writelines(f"{_of_one_line(key)}\n" for key in keys_of_sample(dataset, fraction))
            paths: tuple[Path, ...] = (target,)
        else:
            stream = part_stream(dataset, rows, digest, lambda table: only_sampled(table, fraction))
            for name, path in target.files:
                path.parent.mkdir(parents=True, exist_ok=True)
                find_format(name).write(stream, path, target.options)
            paths = tuple(path for _, path in target.files)
        return SampleReport(dataset.head.dataset, fraction, rows, images, len(dataset), digest, paths)


def keys_path(output: str) -> Path | None:
    """Return the path of a list of keys when that is what an output names, else None."""
    path = Path(output).expanduser()
    return path if path.suffix.lower() == _KEYS_SUFFIX and not path.is_dir() else None


def keys_of_sample(dataset: Dataset, fraction: float) -> Iterator[str]:
    """Yield the key of each image in a sample once, in index order.

    Raises:
        ConfigError: the fraction is none.
        StoreError: the index is damaged.
    """
    for rows in _rows(dataset, fraction, ["key", "variant", "sha256"]):
        keys, variants = rows["key"].to_pylist(), rows["variant"].to_pylist()
        yield from (key for key, variant in zip(keys, variants, strict=True) if variant == 0)


def _rows(dataset: Dataset, fraction: float, columns: list[str] | None) -> Iterator[pa.Table]:
    return (only_sampled(rows, fraction) for rows in dataset.row_batches(_BATCH_ROWS, columns))


def _look(dataset: Dataset, fraction: float) -> tuple[int, int, str]:
    """Return how many rows and images a sample has, and its digest."""
    images = 0

    def watched() -> Iterator[pa.Table]:
        nonlocal images
        for rows in _rows(dataset, fraction, None):
            images += pc.sum(pc.equal(rows["variant"], 0)).as_py() or 0
            yield rows

    rows, digest = digest_of(watched())
    return rows, images, digest


def _of_one_line(key: str) -> str:
    if len(key.splitlines()) > 1:
        raise ConfigError(f"the key {key!r} has a line break, which a list of keys has no word for; write a .csv")
    return key
