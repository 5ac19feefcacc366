"""What the page on transforms must say of each of them, worked out from the code."""

import json
from pathlib import Path
from typing import Any

from image_assets.transforms import TRANSFORMS
from image_assets.transforms.base import Transform

PAGE = Path(__file__).parents[2] / "data" / "TRANSFORMS.md"
STAGES = {"before_resize": "before the fit", "after_resize": "after the fit"}


def facts_line(kind: type[Transform]) -> str:
    """Return the line below a transform's heading."""
    return f"*{STAGES[kind.stage]}, {'random' if kind.random else 'not random'}, version {kind.version}*"


def parameter_rows(kind: type[Transform]) -> list[str]:
    """Return the rows of its table of parameters, in the order of the code."""
    schemas: dict[str, dict[str, Any]] = kind.model_json_schema()["properties"] if kind.model_fields else {}
    return [
        f"| `{name}` | {_default(kind, name)} | {_range(schemas[name])} | {field.description} |"
        for name, field in kind.model_fields.items()
    ]


def _default(kind: type[Transform], name: str) -> str:
    field = kind.model_fields[name]
    if field.is_required():
        return "required"
    values = field.default if isinstance(field.default, tuple) else (field.default,)
    texts = ["none" if value is None else json.dumps(_rounded(value)).strip('"') for value in values]
    return f"[{', '.join(texts)}]" if isinstance(field.default, tuple) else texts[0]


def _rounded(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


def _range(schema: dict[str, Any]) -> str:
    """Return the values that a number can have or the names there are; what only a validator knows is in words."""
    for part in schema.get("anyOf", [schema]):
        if "enum" in part:
            return ", ".join(part["enum"])
        if part.get("type") in {"number", "integer"}:
            least = f"≥ {part['minimum']:g}" if "minimum" in part else f"> {part['exclusiveMinimum']:g}"
            return f"{least}, ≤ {part['maximum']}{'; whole' if part['type'] == 'integer' else ''}"
    return "see below"


def expected_sections() -> dict[str, list[str]]:
    """Return for each transform the lines that its section must hold."""
    return {name: [facts_line(kind), *parameter_rows(kind)] for name, kind in sorted(TRANSFORMS.items())}
