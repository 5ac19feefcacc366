"""Work on stored images by a cluster: what is computed of their pixels, where there is more than one machine can do.

Only a cluster that is running anyway is used: starting one for each thing that is computed would cost more than it
brings. Elsewhere who computes does so in its own process and threads.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.errors import EngineError
from image_assets.engines import ENGINES
from image_assets.engines.base import Beat, Engine, Lost
from image_assets.engines.choosing import choose_engine
from image_assets.pipeline.pixels import StoredImages, decoded_pixels
from image_assets.pipeline.tasks import packed, unpacked
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets.storage.tables import naming_damage

# A model and what it computes with may take more than decoding an image does.
_MEMORY_BYTES = 8 * 2**30
_Result = TypeVar("_Result")

Look = Callable[[NDArray[np.uint8]], _Result]
# Rows with output_sha256, segment and row, packed.
PackedRows = bytes


def cluster_for(settings: Settings, images: Callable[[], int]) -> Engine | None:
    """Return the cluster for work on some output images; None: it is not worth it, or there is none.

    Args:
        images: how many there are; only called where that decides.
    """
    if settings.engine.address is None:
        return None
    image_bytes = settings.image.width_px * settings.image.height_px * 3
    choice = choose_engine(settings, lambda: images() * image_bytes)
    if choice.name != settings.engine.cluster:
        return None
    limits = settings.limits.model_copy(update={"max_memory_bytes": _MEMORY_BYTES})
    return ENGINES[choice.name](settings.model_copy(update={"limits": limits}))


def results_of(engine: Engine, function: Callable[[PackedRows, Beat], Any], tasks: Iterable[pa.Table]) -> Iterator[Any]:
    """Yield what a function makes of pieces of rows, in any order.

    Raises:
        EngineError: a worker died over an image that was decoded once: nobody would do better.
    """
    for outcome in engine.map(function, map(packed, tasks)):
        if isinstance(outcome, Lost):
            sha256 = unpacked(outcome.task)["output_sha256"][outcome.position].as_py()
            raise EngineError(
                f"a worker ended over output image {sha256}: {outcome.reason} ({outcome.detail}); raise "
                "limits.max_decode_s, or take engine: local for this"
            )
        yield outcome.result


class Looking(Generic[_Result]):
    """The function that an engine runs over rows: their hashes, and what ``look`` says of each image."""

    def __init__(self, store: Store, recipe_id: str, look: Look[_Result]) -> None:
        self._place = (store.url, recipe_id)
        self._look = look

    def __call__(self, task: PackedRows, beat: Beat) -> tuple[list[str], list[_Result]]:
        """Look at each image.

        Raises:
            StoreError: a segment is damaged or gone.
        """
        rows = unpacked(task)
        url, recipe_id = self._place
        found = []
        with closing(StoredImages(Store(url, create=False), recipe_id)) as images:
            for position, (segment, row) in enumerate(places_of(rows)):
                beat(position)
                with naming_damage(layout.segment(recipe_id, segment)):
                    found.append(self._look(decoded_pixels(images.encoded(segment, row))))
        return rows["output_sha256"].to_pylist(), found


def places_of(rows: pa.Table) -> Iterator[tuple[str, int]]:
    """Yield the segment and the row in it of each row of an index."""
    yield from zip(rows["segment"].to_pylist(), rows["row"].to_pylist(), strict=True)
