"""Labels that were told from vectors: one file that follows the index, and holds what the next time needs of it."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.heads import FORMAT_VERSION, HEAD_KEY, seal, unseal
from image_assets.storage import layout
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import iter_tables, parse_head, read_head

PIECE_ROWS = 4096
# ``neighbours`` are rows of this file, and so of the index that it follows.
AUTO_LABELS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("output_sha256", pa.string(), nullable=False),
        pa.field("has_label", pa.bool_(), nullable=False),
        pa.field("imagenet_label", pa.string()),
        pa.field("imagenet_confidence", pa.float32()),
        pa.field("neighbour_label", pa.string()),
        pa.field("neighbour_confidence", pa.float32()),
        pa.field("neighbours", pa.list_(pa.int32())),
        pa.field("products", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True, slots=True)
class AutoLabelsHead:
    """What the file says of itself: how its labels were told, of which vectors, and which index its rows follow.

    Of all ``images``, ``labelled`` ones have a label of people; of these, ``told`` ones were also told one by their
    neighbours, and ``agreeing`` ones the same.
    """

    version: str
    k: int
    extractor_digest: str
    index_number: int
    index_digest: str
    rows: int
    images: int
    labelled: int
    told: int
    agreeing: int
    format_version: int = FORMAT_VERSION


def read_auto_labels_head(store: Store) -> AutoLabelsHead | None:
    """Return the head of the file, or None when there is none yet.

    Raises:
        StoreError: it is damaged or from a newer version.
    """
    if not store.exists(layout.AUTO_LABELS):
        return None
    text = read_head(store, layout.AUTO_LABELS)
    return parse_head(layout.AUTO_LABELS, text, lambda content: AutoLabelsHead(**unseal(content, layout.AUTO_LABELS)))


def iter_auto_labels(store: Store, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the file's rows, a piece at a time.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    return iter_tables(store, layout.AUTO_LABELS, batch_rows=PIECE_ROWS, columns=columns)


def publish_auto_labels(store: Store, head: AutoLabelsHead, pieces: Iterable[pa.Table]) -> None:
    """Replace the file.

    Raises:
        StoreError: it cannot be written.
    """
    schema = AUTO_LABELS_SCHEMA.with_metadata({HEAD_KEY: seal(asdict(head))})
    with scratch_folder() as folder:
        path = folder / "auto_labels.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
            for piece in pieces:
                writer.write_table(piece.cast(schema))
        store.put(layout.AUTO_LABELS, path)
