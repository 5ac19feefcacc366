"""What is wrong with settings, in words: where, what was found, what is known there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

# What a person writes, where pydantic says what Python makes of it.
_IN_YAML = {"tuple_type": "write a list: [one, two]", "dict_type": "write names and values: {name: value}"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: the steps to it (names, and positions in lists), the words, and what was found."""

    loc: tuple[int | str, ...]
    what: str
    found: Any


def one_line(error: ValidationError, settings: type[BaseModel]) -> str:
    """Return all mistakes as one line."""
    mistakes = list_mistakes(error, settings)
    return "; ".join(f"{'.'.join(map(str, item.loc)) or 'settings'}: {item.what}" for item in mistakes)


def list_mistakes(error: ValidationError, settings: type[BaseModel]) -> list[Mistake]:
    """Return the mistakes that a validation of ``settings`` found."""
    mistakes = []
    for item in error.errors():
        what = item["msg"].removeprefix("Value error, ")
        what = _IN_YAML.get(item["type"], what)
        if item["type"] == "extra_forbidden":
            what = f"unknown setting; known here: {', '.join(_known_settings(item['loc'][:-1], settings))}"
        elif item["type"] != "missing" and not isinstance(item["input"], Mapping | BaseModel):
            what += f" (found {item['input']!r})"
        mistakes.append(Mistake(item["loc"], what, item["input"]))
    return mistakes


def _known_settings(loc: tuple[int | str, ...], settings: type[BaseModel]) -> list[str]:
    section = settings
    for step in loc:
        if isinstance(step, int):
            continue
        field = section.model_fields.get(step)
        inner = next(_sections(field.annotation), None) if field is not None else None
        if inner is None:
            return []
        section = inner
    return sorted(section.model_fields)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the sections that an annotation names, also within ``tuple[…]`` and ``… | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)
