"""Annotations in pixels of the output images: one file that follows the newest index, and lookups to make it by."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.core.annotation_rows import ANNOTATION_ROWS, image_of_row
from image_assets.core.annotations import AnnotatedImage
from image_assets.core.hashes import packed_hashes
from image_assets.core.heads import FORMAT_VERSION, HEAD_KEY, seal, unseal
from image_assets.storage import layout
from image_assets.storage.annotations import Current, iter_current_rows
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import parse_head, read_head

# What belongs to no image that has annotations: somebody looked and found nothing.
NOTHING = "nothing"
PLACED_SCHEMA = pa.schema(
    [
        # The number of the row of the index, from 0, in its order; and its id.
        pa.field("index_row", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("project", pa.string(), nullable=False),
        pa.field("reviewed", pa.bool_(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        # In pixels of the output: of a box left, top, right, bottom; of a polygon x and y of each point.
        pa.field("points", pa.list_(pa.float64())),
        # Of a mask of the output's size, COCO's compressed RLE.
        pa.field("rle", pa.string()),
        # How much of it is seen in the output (0-1).
        pa.field("visible", pa.float64()),
        # In pixels of the upright original.
        pa.field("original_points", pa.list_(pa.float64())),
        pa.field("original_rle", pa.string()),
        pa.field("predicted", pa.bool_()),
        pa.field("confidence", pa.float64()),
        pa.field("annotator", pa.string()),
        pa.field("made_at", pa.string()),
        pa.field("attributes", pa.string()),
    ]
)
_GROUP_BYTES = 4 * 2**20
_GROUP_ROWS = 4096


@dataclass(frozen=True, slots=True)
class PlacedHead:
    """What the file says of itself: which index and which annotations it follows.

    ``annotated`` rows of the index have annotations or were reviewed. ``hidden`` annotations lie outside of an output,
    ``misfits`` are those of images that have another size than the annotations say, and are left out.
    """

    index_number: int
    index_digest: str
    recipe_id: str
    state: str
    rows: int
    annotated: int
    hidden: int
    misfits: int
    format_version: int = FORMAT_VERSION


def read_placed_head(store: Store) -> PlacedHead | None:
    """Return the head of the file, or None when there is none yet.

    Raises:
        StoreError: it is damaged or from a newer version.
    """
    path = layout.PLACED_ANNOTATIONS
    if not store.exists(path):
        return None
    return parse_head(path, read_head(store, path), lambda text: PlacedHead(**unseal(text, path)))


@contextmanager
def staged_placed(pieces: Iterable[pa.Table]) -> Iterator[Path]:
    """Write rows to a temporary file, without a head as yet, one piece in memory at a time."""
    with scratch_folder() as folder:
        path = folder / "rows.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, PLACED_SCHEMA) as writer:
            for piece in pieces:
                writer.write_table(piece)
        yield path


def publish_placed(store: Store, head: PlacedHead, staged: Path) -> None:
    """Replace the file by staged rows.

    Raises:
        StoreError: it cannot be written.
    """
    schema = PLACED_SCHEMA.with_metadata({HEAD_KEY: seal(asdict(head))})
    with scratch_folder() as folder, pa.memory_map(str(staged)) as rows, pa.ipc.open_file(rows) as reader:
        path = folder / "annotations.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
            for number in range(reader.num_record_batches):
                writer.write_table(pa.Table.from_batches([reader.get_batch(number)]).cast(schema))
        store.put(layout.PLACED_ANNOTATIONS, path)


def tables_of(rows: Iterable[dict[str, Any]]) -> Iterator[pa.Table]:
    """Yield rows (PLACED_SCHEMA) as tables of a few megabytes."""
    waiting: list[dict[str, Any]] = []
    size_bytes = 0
    for row in rows:
        waiting.append(row)
        size_bytes += 16 * len(row["points"] or row["original_points"] or ()) + len(row["original_rle"] or "")
        if size_bytes > _GROUP_BYTES or len(waiting) == _GROUP_ROWS:
            yield pa.Table.from_pylist(waiting, PLACED_SCHEMA)
            waiting, size_bytes = [], 0
    if waiting:
        yield pa.Table.from_pylist(waiting, PLACED_SCHEMA)


class MappedAnnotations:
    """What counts of all annotations, by the hash of an image: copied into a temporary file and mapped, not held."""

    def __init__(self, store: Store, current: Current) -> None:
        """Copy what counts.

        Raises:
            StoreError: a file is damaged.
            OSError: there is no room for the temporary file.
        """
        facts = current.facts
        speaking = np.flatnonzero(facts.speaks)
        # They are copied in the order of the files; found they are in the order of the hashes.
        order = speaking[np.lexsort((facts.rows[speaking], facts.files[speaking]))]
        places = np.empty(len(facts.hashes), np.int64)
        places[order] = np.arange(len(order))
        self._hashes, self._places = facts.hashes[speaking], places[speaking]
        with scratch_folder() as folder:
            path = folder / "annotations.arrow"
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, ANNOTATION_ROWS) as writer:
                for _, rows in iter_current_rows(store, current):
                    writer.write_table(rows.cast(ANNOTATION_ROWS))
            # The map outlives the name of the file; the space is free again when it is let go.
            self._batches = pa.ipc.open_file(pa.memory_map(str(path))).read_all().to_batches()
        self._ends = np.cumsum([batch.num_rows for batch in self._batches], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._hashes)

    def spans(self, sha256: list[str]) -> NDArray[np.int64]:
        """Return for each image the half-open range of its entries, shape (len(sha256), 2)."""
        wanted = packed_hashes(sha256)
        sides = [np.searchsorted(self._hashes, wanted, side) for side in ("left", "right")]
        return np.stack(sides, axis=1)

    def read(self, entry: int) -> AnnotatedImage:
        """Return what one project says of an image."""
        place = int(self._places[entry])
        batch = int(np.searchsorted(self._ends, place, side="right"))
        first = int(self._ends[batch]) - self._batches[batch].num_rows
        return image_of_row(self._batches[batch].slice(place - first, 1).to_pylist()[0])
