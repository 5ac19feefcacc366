"""Which columns a remux reads and writes, and their Hugging Face features."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from image_assets.core.errors import ConfigError
from image_assets.pipeline.remux.options import RemuxOptions

IMAGE_TYPE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_HUGGINGFACE = b"huggingface"


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a remux.

    ``image_kind`` is how the tables hold images: a struct of bytes and path, bytes, or a path.
    ``has_path`` says whether a struct has a path.
    """

    image: str
    image_kind: Literal["struct", "bytes", "path"]
    has_path: bool
    others: tuple[str, ...]
    output: pa.Schema

    def to_read(self) -> list[str]:
        """Return what is read beside the bytes of the images, in Parquet's spelling."""
        paths = {"struct": [f"{self.image}.path"] if self.has_path else [], "bytes": [], "path": [self.image]}
        return [*paths[self.image_kind], *self.others]


def choose_columns(schema: pa.Schema, options: RemuxOptions, card: Mapping[str, Any]) -> Columns:
    """Return the columns to read, and the schema of the parts, with the features of the columns that stay.

    Args:
        card: the features in the dataset's card, which count where the table itself says none.

    Raises:
        ConfigError: a column does not exist, or the image column holds no images.
    """
    image = options.image_col
    known = _known_features(schema, card)
    if image not in schema.names:
        images = [name for name in schema.names if known.get(name, {}).get("_type") == "Image"]
        hint = f"; images are in {', '.join(images)}" if images else ""
        raise ConfigError(f"no column {image!r} for --image-col; found: {', '.join(schema.names)}{hint}")
    kind, has_path = _image_kind(schema.field(image))
    others = _others(schema, options)
    fields = [
        pa.field(name, IMAGE_TYPE) if name == image else schema.field(name)
        for name in schema.names
        if name == image or name in others
    ]
    features = {name: known[name] for name in (field.name for field in fields) if name in known and name != image}
    features = {
        field.name: features.get(field.name) for field in fields if field.name in features or field.name == image
    }
    features[image] = {"_type": "Image"}
    metadata = {_HUGGINGFACE: json.dumps({"info": {"features": features}}).encode()}
    return Columns(image, kind, has_path, tuple(others), pa.schema(fields, metadata))


def _others(schema: pa.Schema, options: RemuxOptions) -> list[str]:
    """Return the columns that stay beside the images, in the order of the table."""
    wanted = set(schema.names if options.extra_cols is None else options.extra_cols)
    if options.label_col is not None:
        wanted.add(options.label_col)
    elif "label" in schema.names:
        wanted.add("label")
    if missing := sorted(wanted - set(schema.names)):
        raise ConfigError(f"no column {', '.join(map(repr, missing))} in the dataset; found: {', '.join(schema.names)}")
    return [name for name in schema.names if name in wanted and name != options.image_col]


def _image_kind(field: pa.Field) -> tuple[Literal["struct", "bytes", "path"], bool]:
    if pa.types.is_struct(field.type):
        names = [field.type.field(at).name for at in range(field.type.num_fields)]
        if "bytes" in names:
            return "struct", "path" in names
    if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
        return "bytes", False
    if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
        return "path", True
    raise ConfigError(
        f"column {field.name!r} holds {field.type}, not images (a struct of bytes and path, bytes, or paths); "
        "give --image-col"
    )


def _known_features(schema: pa.Schema, card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the features by column: what the table's own metadata says, else what the card says."""
    written = (schema.metadata or {}).get(_HUGGINGFACE)
    try:
        features = json.loads(written)["info"]["features"] if written else {}
    except (ValueError, KeyError, TypeError):
        features = {}
    return {**card, **features}
