"""The pictures of a report: as many as its budget allows, the most important first."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import pyarrow as pa

from image_assets.pipeline.report.failures import Failure
from image_assets.pipeline.report.rows import ShownImage
from image_assets.pipeline.thumbnails import FailedImage, Thumbnail, thumbnails_of_failed, thumbnails_of_rows
from image_assets.settings import Settings
from image_assets.storage.store import Store

# Made together: some hundred kB of pictures, and one look into each segment.
_TOGETHER = 512


@dataclass(slots=True)
class Album:
    """Pictures by where their images lie, or by the key of a failed one; ``left_out`` did not fit."""

    budget_bytes: int
    outputs: dict[tuple[str, int], Thumbnail] = field(default_factory=dict)
    failed: dict[str, Thumbnail] = field(default_factory=dict)
    left_out: int = 0

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.outputs) + len(self.failed)

    def take(self, thumbnail: Thumbnail, uses: int) -> bool:
        """Return whether a picture fits that is shown so often, and count its bytes if it does."""
        needed = uses * len(thumbnail.data_uri)
        if needed > self.budget_bytes:
            self.left_out += uses
            return False
        self.budget_bytes -= needed
        return True


def add_failed(album: Album, settings: Settings, failures: Sequence[Failure]) -> None:
    """Add pictures of failed images, as far as their bytes still show something.

    Raises:
        EngineError: no worker can be started.
    """
    wanted = [FailedImage(failure.key, failure.sha256, failure.reason) for failure in failures]
    found = thumbnails_of_failed(settings, wanted, settings.report.picture_px)
    for failure, thumbnail in zip(failures, found, strict=True):
        if thumbnail is not None and album.take(thumbnail, 1):
            album.failed[failure.key] = thumbnail


def add_outputs(
    album: Album, store: Store, recipe_id: str, sheets: Sequence[Sequence[ShownImage]], side_px: int
) -> None:
    """Add pictures of the images of several sheets: of each sheet the first, then of each the second, and so on.

    Raises:
        StoreError: a segment is damaged or gone.
    """
    uses = Counter(image.place for sheet in sheets for image in sheet)
    places = list(dict.fromkeys(image.place for image in _in_turn(sheets)))
    for first in range(0, len(places), _TOGETHER):
        some = places[first : first + _TOGETHER]
        rows = pa.table({"segment": [segment for segment, _ in some], "row": [row for _, row in some]})
        thumbnails = thumbnails_of_rows(store, recipe_id, rows, side_px)
        made = zip(some, thumbnails, strict=True)
        fitting = {place: thumbnail for place, thumbnail in made if album.take(thumbnail, uses[place])}
        album.outputs |= fitting
        if not fitting:
            # What is left is full of small remainders at best.
            album.left_out += sum(uses[place] for place in places[first + len(some) :])
            return


def _in_turn(sheets: Iterable[Sequence[ShownImage]]) -> Iterator[ShownImage]:
    for line in zip_longest(*sheets):
        yield from (image for image in line if image is not None)
