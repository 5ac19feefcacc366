"""Counting images: from the rows of an index and what was measured of their pixels to statistics, shard by shard."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.checks.image_issues import Images
from image_assets.core.dataset_statistics import HISTOGRAMS, DatasetStatistics
from image_assets.core.hashes import packed_hashes
from image_assets.core.index import IndexHead
from image_assets.core.sharding import NUM_BUCKETS, shard_names
from image_assets.pipeline.new_contents import outputs_of_index
from image_assets.storage.pixel_statistics import MEASURES, KeptMeasures
from image_assets.storage.store import Store

# Of the index, what images are counted by.
COUNTED = ["variant", "bucket", "label", "output_sha256", "raw_width_px", "raw_height_px", "flags"]
_WRONG_EXTENSION = "wrong_extension"


class Tally:
    """The statistics of the shards of an index, as its images come by."""

    def __init__(self, num_shards: int) -> None:
        self.shards = dict.fromkeys(shard_names(num_shards), DatasetStatistics())

    def add(self, rows: pa.Table, images: Images, issues: Mapping[str, NDArray[np.bool_]]) -> None:
        """Count the images of some plain rows (:data:`COUNTED`), which lie in the order of the shards."""
        names = list(self.shards)
        numbers = rows["bucket"].to_numpy().astype(np.int64) * len(names) // NUM_BUCKETS
        for number in np.unique(numbers).tolist():
            part = slice(*np.searchsorted(numbers, [number, number + 1]).tolist())
            counts = {name: int(found[part].sum()) for name, found in issues.items()}
            counted = _count(images.part(part), rows["label"].slice(part.start, part.stop - part.start))
            self.shards[names[number]] += replace(counted, issues=counts)


def tally_index(store: Store, index: IndexHead, kept: KeptMeasures, split: str | None = None) -> Tally:
    """Return the statistics of an index, without issues; images that were never measured count as such.

    Args:
        split: of the images of this split alone.

    Raises:
        StoreError: the index is damaged.
    """
    tally = Tally(index.num_shards)
    for plain in outputs_of_index(store, index).plain([*COUNTED, "split"]):
        rows = plain if split is None else plain.filter(pc.equal(plain["split"], split))
        tally.add(rows, images_of(rows, *kept.of(packed_hashes(rows["output_sha256"].to_pylist()))), {})
    return tally


def images_of(rows: pa.Table, measures: NDArray[np.void], measured: NDArray[np.bool_]) -> Images:
    """Return plain rows (:data:`COUNTED`) as images."""
    return Images(
        measures=measures,
        measured=measured,
        raw_width_px=rows["raw_width_px"].to_numpy(),
        raw_height_px=rows["raw_height_px"].to_numpy(),
        wrong_extension=_has_flag(rows["flags"], _WRONG_EXTENSION),
    )


def raw_size_counts(rows: pa.Table) -> NDArray[np.int64]:
    """Return the histogram of the raw images' sizes of some plain rows."""
    nothing = np.zeros(rows.num_rows, MEASURES)
    return HISTOGRAMS["size"].counts(_octaves(images_of(rows, nothing, np.zeros(rows.num_rows, bool)).raw_side_px))


def _count(images: Images, labels: pa.ChunkedArray) -> DatasetStatistics:
    measures = images.measures[images.measured]
    values = {
        "brightness": measures["luma_mean"],
        "blur": measures["blur"],
        "colourfulness": measures["colourfulness"],
        "size": _octaves(images.raw_side_px),
        "aspect": _octaves(images.aspect_ratio),
    }
    sums, squares = (_totals(measures, kind) for kind in ("sum", "squares"))
    return DatasetStatistics(
        images=len(images),
        measured=len(measures),
        channels=int(measures["channels"].max(initial=0)),
        pixels=int((measures["width_px"].astype(np.int64) * measures["height_px"]).sum()),
        sums=sums,
        squares=squares,
        unlabelled=labels.null_count,
        labels=dict(_label_counts(labels)),
        histograms={name: tuple(bins.counts(values[name]).tolist()) for name, bins in HISTOGRAMS.items()},
    )


def _totals(measures: NDArray[np.void], kind: str) -> tuple[int, int, int]:
    # A piece has some thousand images of at most 2**28 pixels: far from 2**63.
    red, green, blue = (int(measures[f"{kind}_{channel}"].sum()) for channel in range(3))
    return (red, green, blue)


def _label_counts(labels: pa.ChunkedArray) -> Iterator[tuple[str, int]]:
    for pair in pc.value_counts(labels.drop_null()).to_pylist():
        yield pair["values"], pair["counts"]


def _octaves(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log2(np.maximum(values, 1.0))


def _has_flag(flags: pa.ChunkedArray, name: str) -> NDArray[np.bool_]:
    lists = flags.combine_chunks()
    hits = pc.equal(pc.list_flatten(lists), name)
    found = np.zeros(len(lists), bool)
    found[pc.list_parent_indices(lists).filter(hits).to_numpy()] = True
    return found
