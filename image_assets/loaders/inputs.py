"""What an asset of a dataset can be had as by an asset that is made of it, and opening it as that."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from image_assets.core.errors import ConfigError
from image_assets.loaders.frames import FRAMES, OpenTable, read_frame, wanted_columns, word_of
from image_assets.loaders.table_parts import PinnedTable
from image_assets.pipeline.published_tables import FEATURE_VECTORS, TRAINING_INDEX
from image_assets.pipeline.reading import Dataset, open_dataset
from image_assets.pipeline.shard_images import ShardImages, open_shards
from image_assets.storage.store import Store

IMAGE_SHARDS = "image_shards"
_DATASET = f"{Dataset.__module__}.{Dataset.__name__}"
_SHARDS = f"{ShardImages.__module__}.{ShardImages.__name__}"
_VECTORS = "numpy.ndarray"
# Without an annotation: with images what has images, else a table.
_DEFAULTS = {TRAINING_INDEX: _DATASET, FEATURE_VECTORS: _DATASET, IMAGE_SHARDS: _SHARDS}


@dataclass(frozen=True, slots=True)
class Wish:
    """As what something is wanted, one of :func:`words_for`; and of a table the columns, None for all."""

    word: str
    columns: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What an asset gets, and how it is closed."""

    value: Any
    close: Callable[[], None]


def words_for(name: str) -> tuple[str, ...]:
    """Return as what the asset of a name can be had."""
    if name == IMAGE_SHARDS:
        return (_SHARDS, *FRAMES)
    return (_DATASET, *([_VECTORS] if name == FEATURE_VECTORS else []), *FRAMES)


def wish_of(name: str, annotation: object, said: Mapping[str, Any]) -> Wish:
    """Return as what an input wants the asset of a name.

    Args:
        annotation: of the input, ``typing.Any`` without one.
        said: what stands in the input's metadata: ``as`` in place of an annotation, ``columns`` of a table.

    Raises:
        ConfigError: that is not possible; the text says what is.
    """
    words = words_for(name)
    word = said.get("as")
    if word is None:
        word = _DEFAULTS.get(name, "pyarrow.Table") if annotation in _NO_ANNOTATION else word_of(annotation, words)
    if word not in words:
        found = repr(said["as"]) if "as" in said else _shown(annotation)
        raise ConfigError(f"{name} cannot be given as {found}; annotate the input with one of {', '.join(words)}")
    if "columns" in said and word not in FRAMES:
        raise ConfigError(f"columns are of a table, and {name} is asked for as {word}; leave metadata['columns'] out")
    return Wish(word, said.get("columns"))


def open_input(pinned: PinnedTable, wish: Wish) -> Opened:
    """Return an asset as what is wanted.

    Raises:
        MissingExtraError: a library is not installed; the text says how to install it.
        ConfigError: it cannot be had of this asset.
        DatasetError: there is no such column, nothing made of this snapshot, or it is not what it was.
        StoreError: the store does not answer or a file is damaged.
    """
    with ExitStack() as opened:
        if wish.word in FRAMES:
            table = pinned.opened()
            opened.callback(table.close)
            value = read_frame(wish.word, OpenTable(table, wanted_columns(table, wish.columns), pinned))
        elif wish.word == _SHARDS:
            value = opened.enter_context(open_shards(Store(pinned.url, create=False), pinned.commits))
        else:
            dataset = opened.enter_context(open_dataset(pinned.url, snapshot=pinned.number))
            value = dataset.vectors() if wish.word == _VECTORS else dataset
        return Opened(value, opened.pop_all().close)


_NO_ANNOTATION = (Any, inspect.Parameter.empty, None)


def _shown(annotation: object) -> str:
    if not isinstance(annotation, type):
        return str(annotation)
    return f"{annotation.__module__}.{annotation.__qualname__}".removeprefix("builtins.")
