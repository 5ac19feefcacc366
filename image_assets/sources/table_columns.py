"""Which column of a table holds images, which labels, and what their values are."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from image_assets.core.errors import ContainerError
from image_assets.settings import SourceSettings

# How encoded images begin; enough to tell a column of them from one of other bytes.
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"\0\0\0\x0cJXL ",
               b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"8BPS", b"qoif", b"\0\0\1\0", b"P5", b"P6")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that count. ``names`` are the labels' texts when the label column holds numbers of classes."""

    image: str
    label: str | None = None
    names: tuple[str, ...] | None = None
    # The values are paths of image files.
    paths: bool = False


def choose_columns(
    schema: pa.Schema, settings: SourceSettings, features: Mapping[str, Any], first: Callable[[str], Any]
) -> Columns:
    """Return the columns of a table that count.

    Args:
        features: the table's features in the words of Hugging Face, as far as they are known.
        first: returns the first value of a column.

    Raises:
        ContainerError: there is no image column, or several could be.
    """
    image = _image_column(schema, settings.image_column, features, first)
    label, names = _label_column(schema, settings.label_column, features)
    return Columns(image, label, names, _is_text(schema.field(image).type))


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Return what ``datasets`` noted in a table about its columns; nothing when it did not write it."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = found["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def labels_as_text(values: pa.Array | pa.ChunkedArray, names: tuple[str, ...] | None) -> pa.Array:
    """Return labels as text; an empty one where there is none, or none of that number.

    Raises:
        ContainerError: they are no text and no numbers.
    """
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    try:
        if names is not None and pt.is_integer(values.type):
            known = pc.and_(pc.greater_equal(values, 0), pc.less(values, len(names)))
            values = pa.array(names, pa.string()).take(pc.if_else(known, values, None))
        return pc.fill_null(values.cast(pa.string()), "")
    except pa.ArrowException as error:
        raise ContainerError(f"its labels are {values.type}; set source.label_column to text or numbers") from error


def image_in(value: Any) -> tuple[bytes | None, str | None]:
    """Return (the encoded image, the path of its file) of one value; either may be missing."""
    if isinstance(value, Mapping):
        return value.get("bytes"), value.get("path")
    if isinstance(value, str):
        return None, value
    return value, None


def _image_column(
    schema: pa.Schema, wanted: str | None, features: Mapping[str, Any], first: Callable[[str], Any]
) -> str:
    names = ", ".join(schema.names)
    if wanted is not None:
        if wanted not in schema.names:
            raise ContainerError(f"it has no column {wanted!r} (source.image_column); found: {names}")
        if not _can_hold_images(schema.field(wanted).type):
            raise ContainerError(f"its column {wanted!r} (source.image_column) holds {schema.field(wanted).type}")
        return wanted
    told = [name for name in schema.names if (features.get(name) or {}).get("_type") == "Image"]
    structs = [field.name for field in schema if _is_image_struct(field.type)]
    plain = (field.name for field in schema if _is_bytes(field.type))
    found: list[str] = told or structs or [name for name in plain if _looks_right(first(name))]
    if len(found) == 1:
        return found[0]
    what = f"several columns could be images: {', '.join(found)}" if found else f"no column of images; found: {names}"
    raise ContainerError(f"{what}; set source.image_column")


def _label_column(
    schema: pa.Schema, wanted: str, features: Mapping[str, Any]
) -> tuple[str | None, tuple[str, ...] | None]:
    classes = {name: feature["names"] for name, feature in features.items() if _is_class_label(feature)}
    if wanted not in schema.names:
        # ``datasets`` names it after what it is: fine_label, class. The default of the setting is not insisted on.
        others = [name for name in classes if name in schema.names]
        if wanted != SourceSettings.model_fields["label_column"].default or len(others) != 1:
            return None, None
        wanted = others[0]
    return wanted, tuple(map(str, classes[wanted])) if wanted in classes else None


def _is_class_label(feature: Any) -> bool:
    return isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" and _is_list(feature.get("names"))


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


def _looks_right(value: Any) -> bool:
    return isinstance(value, bytes) and (value.startswith(_BEGINNINGS) or value[4:8] == b"ftyp")


def _can_hold_images(kind: pa.DataType) -> bool:
    return _is_bytes(kind) or _is_text(kind) or _is_image_struct(kind)


def _is_image_struct(kind: pa.DataType) -> bool:
    if not pt.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    return _is_bytes(kind.field("bytes").type)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))
