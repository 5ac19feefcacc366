"""What to say of the splits of a dataset: how many images each label has in each, and which are in none, and why."""

from collections import Counter
from typing import Any

import pyarrow.compute as pc

from image_assets.core.errors import DatasetError
from image_assets.core.splits import QUARANTINE, SPLIT_NAMES
from image_assets.pipeline.verify import newest_index
from image_assets.settings import Settings
from image_assets.storage.identity import look_into_store
from image_assets.storage.indexes import iter_index

_COLUMNS = ["key", "variant", "label", "group", "split"]


def splits_summary(settings: Settings) -> dict[str, Any]:
    """Return how the newest index is split, each image counted once, and the images that are quarantined.

    Raises:
        DatasetError: nothing was published yet, or without splits.
        StoreError: the store does not answer or is damaged.
    """
    store = look_into_store(settings)
    index = newest_index(settings, store)
    if "splits" not in index.added:
        raise DatasetError(f"dataset {settings.name!r} has no splits; set splits.method and run it")
    counts: Counter[tuple[str | None, str | None]] = Counter()
    quarantined: list[dict[str, Any]] = []
    for piece in iter_index(store, index.number, columns=_COLUMNS):
        plain = piece.filter(pc.equal(piece["variant"], 0))
        counts.update(zip(plain["label"].to_pylist(), plain["split"].to_pylist(), strict=True))
        held = plain.filter(pc.equal(plain["split"], QUARANTINE)).select(["key", "label", "group"])
        quarantined += held.to_pylist()
    labels = sorted({label for label, _ in counts}, key=lambda label: (label is None, label or ""))
    return {
        "dataset": settings.name,
        "index_number": index.number,
        "method": settings.splits.method,
        "images": counts.total(),
        **{name: sum(count for (_, split), count in counts.items() if split == name) for name in SPLIT_NAMES},
        "unsplit": sum(count for (_, split), count in counts.items() if split is None),
        "labels": [{"label": label, **{name: counts[label, name] for name in SPLIT_NAMES}} for label in labels],
        "quarantined": sorted(quarantined, key=lambda image: (image["group"] or "", image["key"])),
    }
