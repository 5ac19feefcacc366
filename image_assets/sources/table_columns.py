"""Which column of a table holds images, which labels, and what their values are."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from image_assets.core.errors import ContainerError
from image_assets.core.extra import extra_texts
from image_assets.settings.sources import SourceSettings

# How encoded images begin; enough to tell a column of them from one of other bytes.
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"\0\0\0\x0cJXL ",
               b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"8BPS", b"qoif", b"\0\0\1\0", b"P5", b"P6")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that count.

    ``paths`` says that the images are paths of files. ``names`` has the texts of each column that holds numbers of
    classes. ``extra`` are columns that are kept with the images.
    """

    image: str
    label: str | None
    paths: bool
    names: Mapping[str, tuple[str, ...]]
    extra: tuple[str, ...]

    @property
    def beside(self) -> list[str]:
        """The columns that tell something of an image."""
        return list(dict.fromkeys([*([self.label] if self.label is not None else []), *self.extra]))

    def labels(self, num_rows: int, rows: pa.Table) -> pa.Array:
        """Return the labels of some rows as text; an empty one where there is none, or none of that number.

        Args:
            rows: the columns :attr:`beside`; there may be none.

        Raises:
            ContainerError: they are no text and no numbers.
        """
        if self.label is None:
            return pa.array([""] * num_rows, pa.string())
        values = self._texts_of(self.label, rows[self.label])
        try:
            return pc.fill_null(values.cast(pa.string()), "")
        except pa.ArrowException as error:
            kind = values.type
            raise ContainerError(f"its labels are {kind}; set source.label_column to text or numbers") from error

    def extras(self, num_rows: int, rows: pa.Table) -> pa.Array:
        """Return the extra columns of some rows, one JSON text each; null where there is nothing to keep.

        Raises:
            ContainerError: they cannot be kept.
        """
        if not self.extra:
            return pa.nulls(num_rows, pa.string())
        try:
            return extra_texts(pa.table({name: self._texts_of(name, rows[name]) for name in self.extra}))
        except ValueError as error:
            raise ContainerError(f"{error}; correct source.extra_columns") from error

    def _texts_of(self, name: str, values: pa.ChunkedArray) -> pa.Array:
        """Return values, numbers of classes as the names of these."""
        found = values.combine_chunks()
        if name in self.names and pt.is_integer(found.type):
            texts = self.names[name]
            known = pc.and_(pc.greater_equal(found, 0), pc.less(found, len(texts)))
            found = pa.array(texts, pa.string()).take(pc.if_else(known, found, None))
        return found


def choose_columns(
    schema: pa.Schema, settings: SourceSettings, features: Mapping[str, Any], first: Callable[[str], Any]
) -> Columns:
    """Return the columns of a table that count.

    Args:
        features: the table's features in the words of Hugging Face, as far as they are known.
        first: returns the first value of a column.

    Raises:
        ContainerError: there is no image column, or several could be, or an extra column is missing.
    """
    image = _image_column(schema, settings.image_column, features, first)
    if missing := [name for name in settings.extra_columns if name not in schema.names]:
        found = ", ".join(schema.names)
        raise ContainerError(f"it has no column {missing[0]!r} (source.extra_columns); found: {found}")
    classes = {
        name: tuple(map(str, feature["names"])) for name, feature in features.items() if _is_class_label(feature)
    }
    label = _label_column(schema, settings.label_column, classes)
    return Columns(image, label, _is_text(schema.field(image).type), classes, settings.extra_columns)


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Return what ``datasets`` noted in a table about its columns; nothing when it did not write it."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = found["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def image_in(value: Any) -> tuple[bytes | None, str | None]:
    """Return (the encoded image, the path of its file) of one value; either may be missing."""
    if isinstance(value, Mapping):
        return value.get("bytes"), value.get("path")
    if isinstance(value, str):
        return None, value
    return value, None


def has_urls_alone(schema: pa.Schema, column: str) -> bool:
    """Return whether a table has a column of URLs as text, and none that could hold the bytes of images."""
    at = schema.get_field_index(column)
    if at < 0 or not _is_text(schema.field(at).type):
        return False
    marked = any((feature or {}).get("_type") == "Image" for feature in features_of(schema).values())
    return not marked and not any(_is_bytes(field.type) or _is_image_struct(field.type) for field in schema)


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
    links = [name for name in schema.names if name.lower() in {"url", "urls", "image_url"}]
    if links and not found:
        raise ContainerError(f"{what}; for a list of URLs set source.kind: urls and source.url_column: {links[0]}")
    raise ContainerError(f"{what}; set source.image_column")


def _label_column(schema: pa.Schema, wanted: str, classes: Iterable[str]) -> str | None:
    if wanted in schema.names:
        return wanted
    # ``datasets`` names it after what it is: fine_label, class. The default of the setting is not insisted on.
    others = [name for name in classes if name in schema.names]
    return others[0] if wanted == SourceSettings.model_fields["label_column"].default and len(others) == 1 else None


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
