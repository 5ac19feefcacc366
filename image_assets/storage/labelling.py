"""What must be known of an export to a labelling platform when its labels come back: its labels, how images were made.

One small file for each different export, named by its content: neither an image nor a hash of one is in it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from image_assets.core.errors import StoreError
from image_assets.core.heads import FORMAT_VERSION, seal, unseal
from image_assets.storage import layout
from image_assets.storage.store import Store


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """One way in which images were sent.

    Args:
        labels: that were offered, sorted.
        recipe_id: of the images.
        recipe: the settings that decide where a pixel of such an image lies in its original.
    """

    platform: str
    project: str
    labels: tuple[str, ...]
    recipe_id: str
    recipe: dict[str, Any]
    format_version: int = FORMAT_VERSION


def keep_export_record(store: Store, record: ExportRecord) -> None:
    """Keep a record; one that is there already is no second one.

    Raises:
        StoreError: it cannot be written.
    """
    data = seal(asdict(record))
    store.put_if_absent(layout.labelling_record(hashlib.sha256(data).hexdigest()), data)


def read_export_records(store: Store) -> list[ExportRecord]:
    """Return all records, in order of their names.

    Raises:
        StoreError: one is damaged, or the store does not answer.
    """
    records = []
    for path in sorted(file.path for file in store.list(layout.LABELLING) if file.path.endswith(".json")):
        try:
            content = unseal(store.get(path).to_pybytes(), path)
            records.append(ExportRecord(**{**content, "labels": tuple(content["labels"])}))
        except (ValueError, TypeError, KeyError, json.JSONDecodeError) as error:
            raise StoreError(
                f"{path} in store {store.url} is damaged: {error!r}; delete it and export again"
            ) from error
    return records
