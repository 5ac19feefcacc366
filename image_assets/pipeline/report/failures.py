"""The raw images of a snapshot, commit by commit: their bytes, and those that have no output, by reason."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.dataset_statistics import Bins
from image_assets.core.index import IndexHead
from image_assets.core.manifest import MANIFEST_SCHEMA
from image_assets.core.sample import FAILED
from image_assets.pipeline.report.rows import Smallest, ValueCounts
from image_assets.storage.manifests import read_rows
from image_assets.storage.store import Store

_COLUMNS = ["key", "status", "reason", "detail", "sha256", "size_bytes", "output_bytes", "first_seen", "attempts"]
# log2 of a raw file's bytes.
FILE_BYTES = Bins(0, 0.5, 80)


@dataclass(frozen=True, slots=True)
class Failure:
    """A raw image without an output; ``first_seen`` is since when it fails (UTC, ISO 8601)."""

    key: str
    reason: str
    detail: str
    sha256: str | None
    first_seen: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class RawImages:
    """All raw images of a snapshot.

    ``failures`` are some of each reason, the same ones as long as they fail; ``reasons`` counts all.
    """

    images: int
    raw_bytes: int
    output_bytes: int
    reasons: Mapping[str, int]
    failures: tuple[Failure, ...]
    file_bytes: tuple[int, ...]


def look_at_raw_images(store: Store, index: IndexHead, most: int) -> RawImages:
    """Return what the commits of a snapshot say of its raw images.

    Args:
        most: of each reason at most so many images are named.

    Raises:
        StoreError: a commit is damaged or gone.
    """
    reasons, chosen = ValueCounts(["reason"]), Smallest("reason", "mark", most)
    chosen.add(_failed(pa.schema([MANIFEST_SCHEMA.field(name) for name in _COLUMNS]).empty_table()))
    totals: NDArray[np.int64] = np.zeros(3, np.int64)
    sizes = np.zeros(FILE_BYTES.count, np.int64)
    for rows in read_rows(store, sorted(index.commits.items()), _COLUMNS, images=index.rows):
        known = rows["size_bytes"].to_numpy()
        known = known[known > 0]
        totals += [rows.num_rows, known.sum(), pc.sum(rows["output_bytes"]).as_py() or 0]
        sizes += FILE_BYTES.counts(np.log2(known))
        failed = _failed(rows)
        reasons.add(failed)
        chosen.add(failed)
    named = chosen.rows().select(["key", "reason", "detail", "sha256", "first_seen", "attempts"])
    return RawImages(
        images=int(totals[0]),
        raw_bytes=int(totals[1]),
        output_bytes=int(totals[2]),
        reasons={row["reason"]: row["count_all"] for row in reasons.counts().to_pylist()},
        failures=tuple(Failure(**row) for row in named.to_pylist()),
        file_bytes=tuple(sizes.tolist()),
    )


def _failed(rows: pa.Table) -> pa.Table:
    """Return the failed ones of some rows, with a ``mark`` by which a sample of them is drawn."""
    failed = rows.filter(pc.equal(rows["status"], FAILED))
    columns = {name: failed[name] for name in _COLUMNS}
    for name, unknown in (("reason", "unknown"), ("detail", ""), ("attempts", 0)):
        columns[name] = pc.fill_null(columns[name], unknown)
    return pa.table({**columns, "mark": _marks(failed["key"])})


def _marks(keys: pa.ChunkedArray) -> pa.Array:
    return pa.array([hashlib.blake2b(key.encode(), digest_size=8).hexdigest() for key in keys.to_pylist()], pa.string())
