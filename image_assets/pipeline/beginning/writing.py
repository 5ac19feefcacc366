"""A settings file in which every setting that there is stands, chosen or as a comment, with what it means."""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from image_assets.core.errors import ConfigError
from image_assets.core.plain_text import one_line
from image_assets.core.settings_files import is_settings_file
from image_assets.pipeline.beginning.choosing import Choice
from image_assets.settings import Settings, make_settings

# Comments begin in this column, and lines end here where that can be.
_COLUMN, _END = 36, 118
_HEADER = """\
# Settings of one dataset, written by `image-assets init`. A line like `#name: value` is a setting at its default: take
# its # away, and that of the section above it, and change it. Other comments say what a setting does, or why it was
# chosen. `preset: remux` or `preset: zenml-tutorial` fills in what the file does not say.
"""


def settings_text(chosen: Sequence[Choice], seen: Sequence[str] = ()) -> str:
    """Return a settings file: what was chosen, and all other settings as comments at their defaults.

    Args:
        seen: lines that say what the choices are from.
    """
    values = {choice.setting: choice for choice in chosen}
    head = [_HEADER.rstrip(), *(f"# {_first_words(line)}" for line in seen), ""]
    return "\n".join([*head, *_section_lines(Settings, "", 0, values)]) + "\n"


def write_settings(path: Path, text: str, *, force: bool) -> None:
    """Write a settings file whole, if it holds valid settings.

    Args:
        force: also over a file that is there.

    Raises:
        ConfigError: it would not be valid, there is a file, or it cannot be written.
    """
    make_settings(yaml.safe_load(text), base=path.parent, origin=str(path))
    _refuse_same_name(path, yaml.safe_load(text)["name"])
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name the file that is to be written: --out {path / 'NAME.yaml'}")
    part = path.with_name(f".image-assets-{secrets.token_hex(4)}.yaml.part")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        part.write_text(text, encoding="utf-8")
        if force:
            os.replace(part, path)  # noqa: PTH105
        else:
            # A link fails where a name is taken, also by somebody who came a moment ago.
            os.link(part, path)
    except FileExistsError as error:
        if not path.parent.is_dir():
            raise ConfigError(f"{path} cannot be written: {path.parent} is no folder; give --out FILE") from error
        raise ConfigError(f"{path} is there already; --force writes over it, --out FILE beside it") from error
    except UnicodeEncodeError as error:
        raise ConfigError("the path is no UTF-8, which a settings file has to be; rename the folder") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; give --out FILE") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _refuse_same_name(path: Path, name: str) -> None:
    for other in sorted(file for file in path.parent.glob("*") if is_settings_file(file.name)):
        # Whatever else lies there is not for this command to judge: a date that is none is a ValueError.
        with suppress(OSError, ValueError, RecursionError, yaml.YAMLError):
            content = yaml.safe_load(other.read_text(encoding="utf-8"))
            if other.name != path.name and isinstance(content, dict) and content.get("name") == name:
                raise ConfigError(f"{other} already is a dataset named {name!r}; give this one another --name")


def _section_lines(model: type[BaseModel], prefix: str, depth: int, values: dict[str, Choice]) -> Iterator[str]:
    after_section = False
    for name, field in model.model_fields.items():
        setting = f"{prefix}{name}"
        inner = _section_of(field)
        if not depth and (inner is not None or after_section):
            yield ""
        after_section = inner is not None
        if inner is None:
            yield from _setting_lines(setting, field, depth, values.get(setting))
            continue
        used = any(other.startswith(f"{setting}.") for other in values)
        indent = "  " * depth
        yield f"{indent}# {_first_words(inner.__doc__ or '')}"
        yield f"{indent}{'' if used else '#'}{name}:"
        yield from _section_lines(inner, f"{setting}.", depth + 1, values)


def _setting_lines(setting: str, field: FieldInfo, depth: int, choice: Choice | None) -> Iterator[str]:
    value = choice.value if choice is not None else field.get_default(call_default_factory=True)
    mark = "" if choice is not None else "#"
    name = setting.rpartition(".")[2]
    line = f"{'  ' * depth}{mark}{name}: {_as_yaml(value)}"
    comment = choice.why if choice is not None else field.description or ""
    if choice is None and (optional := _optional_section_of(field)) is not None:
        comment += f" Its settings: {', '.join(optional.model_fields)}."
    yield from _commented(line, _first_words(comment))


def _commented(line: str, comment: str) -> Iterator[str]:
    """Yield a line with its comment beside it, gone on with below where it is long."""
    at = max(_COLUMN, len(line) + 2)
    room = max(_END - at - 2, 30)
    words, rows = comment.split(), [""]
    for word in words:
        if rows[-1] and len(rows[-1]) + 1 + len(word) > room:
            rows.append("")
        rows[-1] = f"{rows[-1]} {word}".strip()
    yield f"{line:<{at}}# {rows[0]}" if rows[0] else line
    # A line that goes on is no setting: its # is followed by a space.
    yield from (f"{'':<{at}}# {row}" for row in rows[1:])


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section that a field always is."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _optional_section_of(field: FieldInfo) -> type[BaseModel] | None:
    sections = [kind for kind in get_args(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return sections[0] if sections and field.default is None else None


def _as_yaml(value: Any) -> str:
    plain = _plain(value)
    text = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=float("inf"), sort_keys=False)
    return str(text).removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _first_words(text: str) -> str:
    """Return the first paragraph of a text as one line."""
    return one_line(text.strip().split("\n\n")[0])
