"""Looking at the output images that are new: each content once, in the order they are stored in, a chunk at a time."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.hashes import packed_hashes
from image_assets.core.index import IndexHead
from image_assets.pipeline.far_pixels import Looking, cluster_for, results_of
from image_assets.pipeline.pixels import StoredImages, decoded_pixels
from image_assets.pipeline.progress import stage
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.indexes import iter_index
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables, naming_damage

# A killed run looks at most at so many images again: some seconds of work.
CHUNK_ROWS = 8192
# Encoded images in memory at once: 256 of 15 kB are 4 MB.
_BATCH_IMAGES = 256
# Of a cluster's task: a second of work, or two.
TASK_IMAGES = 1024
_PLACES = ["variant", "output_sha256", "segment", "row"]
_Result = TypeVar("_Result")

# Yields rows in order, with the columns asked for; may be called several times.
RowSource = Callable[[list[str]], Iterator[pa.Table]]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Rows of outputs of one recipe, and the store that has them."""

    store: Store
    recipe_id: str
    rows: RowSource

    def plain(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the rows of plain outputs (variant 0), a piece at a time; ``variant`` is among the columns."""
        for piece in self.rows(columns):
            yield piece.filter(pc.equal(piece["variant"], 0))


def outputs_of_index(store: Store, index: IndexHead) -> Outputs:
    """Return the outputs that an index names."""
    return Outputs(store, index.recipe_id, lambda columns: iter_index(store, index.number, columns=columns))


def look_at_contents(
    settings: Settings, outputs: Outputs, missing: NDArray[np.bytes_], look: Callable[[NDArray[np.uint8]], _Result]
) -> Iterator[tuple[list[str], list[_Result]]]:
    """Yield the hashes of some contents among plain outputs, with what ``look`` says of their pixels.

    About :data:`CHUNK_ROWS` come together, to be kept at once.

    Args:
        settings: of the dataset; where they name a cluster and it is worth it, that looks.
        missing: hashes as bytes, sorted, none twice.
        look: a function of a module, so that it can be sent to other processes.

    Raises:
        StoreError: a segment is damaged or gone.
    """
    # In the order they are stored in, so that each piece of a segment is read once.
    order = [("segment", "ascending"), ("row", "ascending")]
    pieces = (rows.sort_by(order) for rows in cut_tables(_first_rows(outputs, missing), CHUNK_ROWS))
    if (cluster := cluster_for(settings, lambda: len(missing))) is not None:
        tasks = (task for rows in pieces for task in cut_tables([rows], TASK_IMAGES))
        with cluster:
            yield from _together(results_of(cluster, Looking(outputs.store, outputs.recipe_id, look), tasks))
        return
    told = stage("look at new images", "images", total=len(missing))
    with StoredImages(outputs.store, outputs.recipe_id) as images, ThreadPoolExecutor() as threads, told as progress:
        for ordered in pieces:
            found: list[_Result] = []
            for first in range(0, ordered.num_rows, _BATCH_IMAGES):
                batch = ordered.slice(first, _BATCH_IMAGES)
                segments = batch["segment"].to_pylist()
                encoded = [images.encoded(*place) for place in zip(segments, batch["row"].to_pylist(), strict=True)]
                paths = [layout.segment(outputs.recipe_id, segment) for segment in segments]
                found += threads.map(lambda path, data: _look(path, data, look), paths, encoded)
                progress.advance(batch.num_rows)
            yield ordered["output_sha256"].to_pylist(), found


def _together(
    results: Iterable[tuple[list[str], list[_Result]]],
) -> Iterator[tuple[list[str], list[_Result]]]:
    """Yield the same, as many together as a chunk holds."""
    hashes: list[str] = []
    found: list[_Result] = []
    for some_hashes, some_found in results:
        hashes += some_hashes
        found += some_found
        if len(hashes) >= CHUNK_ROWS:
            yield hashes, found
            hashes, found = [], []
    if hashes:
        yield hashes, found


def _first_rows(outputs: Outputs, missing: NDArray[np.bytes_]) -> Iterator[pa.Table]:
    """Yield one row of each content that is missing."""
    left = np.ones(len(missing), bool)
    for rows in outputs.plain(_PLACES):
        contents = packed_hashes(rows["output_sha256"].to_pylist())
        places = np.searchsorted(missing, contents).clip(max=len(missing) - 1)
        asked = np.flatnonzero((missing[places] == contents) & left[places])
        firsts = asked[np.unique(places[asked], return_index=True)[1]]
        left[places[firsts]] = False
        yield rows.take(pa.array(np.sort(firsts)))


def _look(path: str, data: bytes, look: Callable[[NDArray[np.uint8]], _Result]) -> _Result:
    with naming_damage(path):
        return look(decoded_pixels(data))
