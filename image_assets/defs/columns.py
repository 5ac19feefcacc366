"""Columns of the files as Dagster shows them: what each means, and which column of another asset it comes from."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from image_assets.core.column_words import COLUMN_WORDS
from image_assets.storage.auto_labels import AUTO_LABELS_SCHEMA
from image_assets.storage.perceptual import DUPLICATES_SCHEMA
from image_assets.storage.placed_annotations import PLACED_SCHEMA
from image_assets.storage.quality import QUALITY_SCHEMA

# Of the vectors it depends on the settings how long and how exact they are.
_VECTORS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("output_sha256", pa.string(), nullable=False),
        pa.field("vector", pa.list_(pa.float32()), nullable=False),
    ]
)
FOLLOWER_SCHEMAS: dict[str, pa.Schema] = {
    "feature_vectors": _VECTORS_SCHEMA,
    "auto_labels": AUTO_LABELS_SCHEMA,
    "duplicate_groups": DUPLICATES_SCHEMA,
    "annotations": PLACED_SCHEMA,
    "image_quality": QUALITY_SCHEMA,
}
# Columns that a follower takes over from the index as they are.
_TAKEN_OVER = ("id", "output_sha256")


def column_schema(schema: pa.Schema) -> Mapping[str, Any]:
    """Return the columns of a file as definition metadata."""
    columns = [
        dg.TableColumn(
            field.name,
            str(field.type),
            description=COLUMN_WORDS[field.name],
            constraints=dg.TableColumnConstraints(nullable=field.nullable, unique=False),
        )
        for field in schema
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def follower_lineage(name: str, index: dg.AssetKey) -> Mapping[str, Any]:
    """Return which columns of the index the columns of a follower's file are; nothing for one without columns."""
    schema = FOLLOWER_SCHEMAS.get(name)
    if schema is None:
        return {}
    taken = {column: [dg.TableColumnDep(index, column)] for column in schema.names if column in _TAKEN_OVER}
    return {"dagster/column_lineage": dg.TableColumnLineage(taken)}
