"""What an index adds to the rows of the manifests: labels that people gave, groups of duplicates, and splits."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from image_assets.core.index import INDEX_SCHEMA
from image_assets.core.perceptual import METHOD
from image_assets.pipeline.grouping import Grouped, group_outputs, image_of_row
from image_assets.pipeline.label_overrides import label_overrides_version
from image_assets.pipeline.new_contents import Outputs
from image_assets.pipeline.splitting import Split, split_outputs, split_word
from image_assets.settings import Settings
from image_assets.storage.store import Store


def added_words(settings: Settings, labels_version: str) -> dict[str, str]:
    """Return one word each for what is to be added, and how; when they change a new index is due.

    Args:
        labels_version: of the labels that people gave, empty when there are none.
    """
    words = {"labels": labels_version} if labels_version else {}
    if _wants_groups(settings):
        words["groups"] = f"{METHOD}-{settings.duplicates.distance_bits}"
    if _wants_splits(settings):
        words["splits"] = split_word(settings)
    return words


def wanted_additions(settings: Settings, store: Store) -> dict[str, str]:
    """Return :func:`added_words` for what is in a store; it costs a list and a head.

    Raises:
        StoreError: the store does not answer or a file of annotations is damaged.
    """
    return added_words(settings, label_overrides_version(store))


@dataclass(frozen=True, slots=True)
class Additions:
    """What is added to some index rows, an image after the other; ``split`` is None when no splits are wanted."""

    grouped: Grouped
    split: Split | None

    def add(self, pieces: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Yield the same rows, all of them and in their order, with what is added."""
        done = 0
        for piece in pieces:
            images = image_of_row(piece["variant"].to_numpy(), done)
            done = int(images[-1]) + 1 if len(images) else done
            added = {"group": self.grouped.names_of(images)}
            if self.split is not None:
                added["split"] = self.split.names_of(images)
            columns = {name: added.get(name, piece[name]) for name in piece.column_names}
            yield pa.table(columns, schema=INDEX_SCHEMA)


def make_additions(settings: Settings, outputs: Outputs) -> Additions | None:
    """Return what is to be added to index rows, None when nothing is.

    Args:
        outputs: of all rows of the index to be.

    Raises:
        StoreError: the store does not answer or a file is damaged.
        CommitConflictError: other runs keep coming first.
    """
    if not _wants_groups(settings):
        return None
    grouped = group_outputs(settings, outputs)
    return Additions(grouped, split_outputs(settings, outputs, grouped) if _wants_splits(settings) else None)


def _wants_groups(settings: Settings) -> bool:
    return settings.duplicates.enabled or _wants_splits(settings)


def _wants_splits(settings: Settings) -> bool:
    return settings.splits.method != "none"
