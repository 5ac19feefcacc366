"""How a dataset grew: one point a snapshot that is still kept."""

from collections.abc import Iterable
from dataclasses import dataclass

from image_assets.core.index import IndexHead
from image_assets.storage.indexes import index_numbers, read_index_head
from image_assets.storage.reading_ahead import read_ahead
from image_assets.storage.store import Store

# Heads that are read: on an object store each costs an answer.
MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class Point:
    """A snapshot: when it was published (UTC, ISO 8601), and how many images it had, with those that failed."""

    number: int
    created_at: str
    images: int
    failed: int
    digest: str
    new_recipe: bool


@dataclass(frozen=True, slots=True)
class Growth:
    """The newest snapshots, oldest first; ``kept`` is how many there are."""

    points: tuple[Point, ...]
    kept: int


def growth_of(store: Store, index: IndexHead) -> Growth:
    """Return the snapshots up to one.

    Raises:
        StoreError: the store does not answer or an index is damaged.
    """
    numbers = [number for number in index_numbers(store) if number <= index.number]
    heads = read_ahead(lambda number: read_index_head(store, number), numbers[-MOST_POINTS:])
    return Growth(tuple(_points(heads)), len(numbers))


def _points(heads: Iterable[IndexHead]) -> list[Point]:
    before: str | None = None
    points = []
    for head in heads:
        # Of an index without totals the rows are the nearest that is known.
        images = int(head.totals.get("images_processed", head.rows))
        failed = int(head.totals.get("corrupted_images", 0))
        changed = before not in (None, head.recipe_id)
        points.append(Point(head.number, head.created_at, images, failed, head.digest, changed))
        before = head.recipe_id
    return points
