"""The attributes of a component: the settings of a dataset, in which `{{ templates }}` may stand."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster.components.resolved.errors import ResolutionException
from pydantic import RootModel

from image_assets.settings import PRESETS, Settings

_TEMPLATE = {"type": "string", "pattern": r"\{[{%]"}
_EXAMPLE = {
    "name": "photos",
    "source": {"path": "{{ context.project_root }}/data/raw"},
    "store": "{{ context.project_root }}/data/store/photos",
    "num_shards": 16,
    "image": {"width_px": 224, "height_px": 224},
}


class DatasetAttributes(RootModel[dict[str, Any]]):
    """The settings of one dataset as they are written; what they are is told when templates are filled in."""

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the JSON schema of a dataset's settings, by which ``dg check yaml`` and editors check a file."""
        schema = Settings.model_json_schema()
        sections: dict[str, Any] = schema["$defs"]
        for section in (schema, *sections.values()):
            properties = section.get("properties", {})
            section["properties"] = {name: _or_template(part) for name, part in properties.items()}
        properties = schema["properties"]
        source = {"$ref": "#/$defs/SourceSettings"}
        properties["source"] = _or_template(
            {
                "description": "Where the raw images are: one place, or a list of several.",
                **_either({"type": "array"}, {"type": "array", "items": source}, source),
            }
        )
        # A bare number is the number of a snapshot.
        sections["QualitySettings"]["properties"]["baseline"]["type"] = ["string", "integer"]
        # A word or an address stands for the section.
        properties["engine"] = _either({"type": "string"}, {}, properties["engine"])
        properties["preset"] = _or_template(
            {"enum": sorted(PRESETS), "description": "What is not said is taken from this preset."}
        )
        return {**schema, "title": "Image dataset", "examples": [_EXAMPLE]}


def filled_in(value: Any, context: dg.ResolutionContext) -> Any:
    """Return a value with every template in it filled in.

    A template that makes a number or a word makes a text: what a setting wants is told from the setting, and a folder
    may be called ``2024_01``.

    Raises:
        ResolutionException: a template names what is not there; it says where.
    """
    if isinstance(value, Mapping):
        return {name: filled_in(part, context.at_path(name)) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [filled_in(part, context.at_path(number)) for number, part in enumerate(value)]
    if not _has_template(value):
        return value
    context = context.with_scope(env=_Environment(place_in(context, context.path[1:])))
    # Dagster takes what a template makes for Python where it can, and 2024_01 is a number in Python.
    made = context.resolve_value(value)
    if isinstance(made, Mapping | list | tuple):
        return made
    from jinja2 import Template

    # It is a file that a programmer wrote, rendered for no browser.
    return Template(value).render(**context.scope)


def place_in(context: dg.ResolutionContext, loc: Sequence[str | int]) -> str:
    """Return what to call a setting in an error: file, line and the steps to it."""
    name = ".".join(map(str, loc)) or "settings"
    if context.source_position_tree is None:
        return name
    found, _ = context.source_position_tree.lookup_closest_and_path(["attributes", *loc], None)
    return f"{found.filename}:{found.start.line}: {name}"


class _Environment:
    """What ``env`` is in a template: as Dagster's, but a variable that is not set is an error, not the word None."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __call__(self, name: str, default: str | None = None) -> str:
        value = os.environ.get(name, default)
        if value is None:
            raise ResolutionException(
                f"{self._place}: environment variable {name} is not set; set it, or write env('{name}', 'default')"
            )
        return value

    def __getattr__(self, name: str) -> str:
        # Jinja asks what it may do with an object.
        if name.startswith(("jinja", "_")):
            raise AttributeError(name)
        return self(name)


def _has_template(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_template, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_template, value))
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _or_template(part: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that also takes a template; its other errors stay those of the schema itself."""
    if part.get("type") == "string" and not {"enum", "pattern", "const"} & part.keys():
        return part
    notes: dict[str, Any] = {name: part[name] for name in ("title", "description", "default") if name in part}
    return {**notes, **_either(_TEMPLATE, {}, {name: value for name, value in part.items() if name not in notes})}


def _either(condition: dict[str, Any], then: dict[str, Any], otherwise: dict[str, Any]) -> dict[str, Any]:
    return {"if": condition, "then": then, "else": otherwise}
