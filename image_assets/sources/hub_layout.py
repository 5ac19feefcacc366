"""The layout of datasets on the Hugging Face hub: which tables belong to which split of which subset."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from image_assets.core.bounded_yaml import read_yaml
from image_assets.core.errors import ConfigError, SourceError

_NUMBERED = re.compile(r"(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}")
# What ``datasets`` takes for a split where a path holds it as a word.
_WORDS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation"},
}


def read_card(readme: bytes) -> dict[str, Any]:
    """Return the YAML at the head of a dataset's README.md; nothing when it has none.

    Raises:
        SourceError: it is no valid YAML.
    """
    found = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|$)", readme.decode("utf-8", "replace"), re.DOTALL)
    try:
        card = read_yaml(found[1], unique_keys=False) if found else {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SourceError(f"the head of README.md is not valid YAML: {' '.join(str(error).split())}") from error
    return card if isinstance(card, dict) else {}


def files_by_split(tables: Sequence[str], card: Mapping[str, Any], subset: str | None) -> dict[str, list[str]]:
    """Return the paths of a subset's tables by split, each split's in the order of their rows.

    Args:
        tables: the paths of all tables.
        card: the YAML of the README, which says it; without, the names of folders and files do.

    Raises:
        ConfigError: there is no such subset, or one must be named.
        SourceError: the card names files that are not there.
    """
    configs = {str(item.get("config_name", "default")): item for item in _mappings(card.get("configs"))}
    configs = {name: item for name, item in configs.items() if item.get("data_files")}
    if configs:
        return _by_patterns(tables, configs[_chosen(configs, subset)])
    chosen = [path for path in tables if subset is None or subset in path.split("/")[:-1]]
    if not chosen:
        folders = sorted({part for path in tables for part in path.split("/")[:-1]})
        raise ConfigError(f"no subset {subset!r} in the dataset; its folders are: {', '.join(folders) or 'none'}")
    found: dict[str, list[str]] = {}
    for path in sorted(chosen):
        found.setdefault(_split_in(path), []).append(path)
    return found


def features_in(card: Mapping[str, Any], subset: str | None) -> dict[str, Any]:
    """Return what a card says of a subset's columns, in the words that stand in the tables themselves."""
    infos = card.get("dataset_info")
    infos = [infos] if isinstance(infos, Mapping) else _mappings(infos)
    chosen = [info for info in infos if len(infos) == 1 or info.get("config_name", "default") == (subset or "default")]
    features = _mappings(chosen[0].get("features")) if chosen else []
    return {str(item.get("name")): feature for item in features if (feature := _feature(item.get("dtype")))}


def _chosen(configs: Mapping[str, Mapping[str, Any]], subset: str | None) -> str:
    if subset is not None:
        if subset not in configs:
            raise ConfigError(f"no subset {subset!r} in the dataset; found: {', '.join(sorted(configs))}")
        return subset
    marked = [name for name, item in configs.items() if item.get("default")]
    if len(configs) == 1 or marked or "default" in configs:
        return next(iter(configs)) if len(configs) == 1 else (marked or ["default"])[0]
    raise ConfigError(f"the dataset has several subsets; set source.subset to one of: {', '.join(sorted(configs))}")


def _by_patterns(tables: Sequence[str], config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what ``data_files`` of a card names: patterns, patterns by split, or a list of those."""
    data_files, folder = config["data_files"], str(config.get("data_dir") or "").strip("/")
    if isinstance(data_files, Mapping):
        entries = list(data_files.items())
    elif _mappings(data_files):
        entries = [(item.get("split", "train"), item.get("path", [])) for item in _mappings(data_files)]
    else:
        entries = [("train", data_files)]
    found = {}
    for split, patterns in entries:
        wanted = [str(item) for item in ([patterns] if isinstance(patterns, str) else patterns)]
        wanted = [f"{folder}/{item}" if folder else item for item in wanted]
        paths = [path for pattern in wanted for path in sorted(tables) if _regex(pattern).fullmatch(path)]
        if not paths:
            raise SourceError(f"no table is named like {', '.join(wanted)}, which the card gives for {split!r}")
        found[str(split)] = list(dict.fromkeys(paths))
    return found


def _regex(pattern: str) -> "re.Pattern[str]":
    """Return a pattern of paths as a regular expression: ``**`` crosses folders, ``*`` and ``?`` do not."""
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", pattern.removeprefix("./"))
    return re.compile("".join(known.get(part) or (part if part.startswith("[") else re.escape(part)) for part in parts))


def _split_in(path: str) -> str:
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    if numbered := _NUMBERED.fullmatch(stem):
        return numbered["split"]
    words = set(re.split(r"[^a-z0-9]+", path.lower()))
    return next((split for split, known in _WORDS.items() if known & words), "train")


def _feature(kind: Any) -> dict[str, Any] | None:
    if kind == "image":
        return {"_type": "Image"}
    names = kind.get("class_label", {}).get("names") if isinstance(kind, Mapping) else None
    if isinstance(names, Mapping):
        names = [names[number] for number in sorted(names, key=int)]
    return {"_type": "ClassLabel", "names": names} if isinstance(names, list) else None


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
