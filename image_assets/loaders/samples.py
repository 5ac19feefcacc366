"""One sample of a dataset, without a framework: pixels, class id and columns, read in whole blocks."""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.dataset_statistics import ChannelStatistics
from image_assets.core.errors import ConfigError, DatasetError, StoreError
from image_assets.core.index import INDEX_SCHEMA
from image_assets.core.randomness import keyed_generator
from image_assets.formats.base import Normalization
from image_assets.formats.normalize import check_normalization, normalize
from image_assets.loaders.decoding import decode
from image_assets.loaders.snapshot import PinnedSnapshot
from image_assets.pipeline.reading import Dataset

_TAKEN = ("image", "label")
_TEXTS = frozenset(field.name for field in INDEX_SCHEMA if pa.types.is_string(field.type))


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Which samples are wanted, and what each is made of.

    Args:
        rows: numbers of index rows, each at most once; without it all.
        split: in place of ``rows``, those of a split: ``train`` with its augmented variants, ``val`` and ``test``
            without.
        columns: of the index, beside ``image`` and ``label``; a text that is missing is empty.
        normalization: as of exports, after ``transform``; ``dataset`` takes the mean of all images, not of ``rows``.
        transform: gets the pixels, uint8 of shape (height, width, channels), and returns an array. If it has a
            parameter ``rng``, that is a generator keyed by ``seed``, the epoch and the sample.
        tensor_transform: gets the torch tensor of shape (channels, height, width) at last; only for PyTorch.
        seed: of what ``transform`` draws.
    """

    rows: Sequence[int] | None = None
    split: str | None = None
    columns: tuple[str, ...] = ()
    normalization: Normalization = "none"
    transform: Callable[..., NDArray[Any]] | None = None
    tensor_transform: Callable[[Any], Any] | None = None
    seed: int = 0

    def check(self, columns: Sequence[str], channels: int) -> None:
        """Accept options that fit a dataset.

        Raises:
            DatasetError: it has no such column.
            ConfigError: a column's name is taken, or the images cannot be normalised so.
        """
        check_normalization(self.normalization, channels)
        if self.rows is not None and self.split is not None:
            raise ConfigError("both rows and a split are chosen; give one of them")
        if taken := [name for name in self.columns if name in _TAKEN]:
            raise ConfigError(f"every sample has {' and '.join(_TAKEN)}; take {', '.join(taken)} out of the columns")
        if unknown := [name for name in self.columns if name not in columns]:
            raise DatasetError(f"no column {', '.join(map(repr, unknown))}; there are {', '.join(columns)}")

    def chosen_of(self, dataset: Dataset) -> Sequence[int] | NDArray[np.int64] | None:
        """Return the numbers of the rows that are chosen of a dataset, None for all.

        Raises:
            ConfigError: there is no such split.
            DatasetError: the dataset has no splits.
            StoreError: the index is damaged.
        """
        return self.rows if self.split is None else dataset.split_rows(self.split)


class SampleReader:
    """Samples of a snapshot by their numbers; keeps the encoded images of the blocks used last.

    Pickles as small as its snapshot; not for several threads at once.
    """

    def __init__(self, snapshot: PinnedSnapshot, options: LoadOptions, *, kept_rows: int) -> None:
        """Make a reader that keeps at most about ``kept_rows`` encoded images in memory."""
        self.snapshot = snapshot
        # The snapshot holds the chosen rows; they travel to workers once.
        self._options = replace(options, rows=None, split=None)
        self._kept_rows = kept_rows
        self._draws = options.transform is not None and "rng" in inspect.signature(options.transform).parameters
        self._blocks: OrderedDict[int, dict[int, bytes]] = OrderedDict()
        self._held = 0
        # Read where the first sample is, and pickled from then on.
        self._channels: ChannelStatistics | None = None

    def read(self, rows: Sequence[int] | NDArray[np.int64], epoch: int) -> Iterator[dict[str, Any]]:
        """Yield some samples in the order asked for; each block that holds any of them is read once.

        Raises:
            StoreError: a segment is damaged or gone.
            ConfigError: the transform's result cannot be normalised.
        """
        plan = self.snapshot.plan()
        of_row = plan.blocks.of_row
        self._load({int(of_row[row]) for row in rows})
        for row in map(int, rows):
            sample = {
                "image": self._image(self._blocks[int(of_row[row])][row], row, epoch),
                "label": int(plan.label_ids[row]),
            }
            yield sample | self._columns(int(plan.index_rows[row]))

    def _image(self, data: bytes, row: int, epoch: int) -> NDArray[Any]:
        try:
            pixels: NDArray[Any] = decode(data)
        except (ValueError, OSError) as error:
            where = f"sample {row} of snapshot {self.snapshot.number} in {self.snapshot.url}"
            raise StoreError(f"{where} is damaged: {str(error).splitlines()[0]}") from error
        options = self._options
        if options.transform is not None:
            index_row = self.snapshot.plan().index_rows[row]
            draw = (options.seed, self.snapshot.digest, f"transform of row {index_row}", epoch)
            pixels = options.transform(pixels, **({"rng": keyed_generator(*draw)} if self._draws else {}))
        if options.normalization != "none" and pixels.dtype != np.uint8:
            raise ConfigError(f"pixels of type {pixels.dtype} cannot be normalised; let the transform return uint8")
        if options.normalization == "none":
            return pixels
        return normalize(pixels, options.normalization, channels=self._channel_statistics())

    def _channel_statistics(self) -> ChannelStatistics | None:
        if self._options.normalization == "dataset" and self._channels is None:
            self._channels = self.snapshot.opened().channel_statistics()
        return self._channels

    def _columns(self, index_row: int) -> dict[str, Any]:
        if not self._options.columns:
            return {}
        values = self.snapshot.opened().values(index_row, self._options.columns)
        return {name: "" if value is None and name in _TEXTS else value for name, value in values.items()}

    def _load(self, blocks: set[int]) -> None:
        for block in blocks & self._blocks.keys():
            self._blocks.move_to_end(block)
        self._let_go(blocks)
        plan = self.snapshot.plan()
        missing = blocks - self._blocks.keys()
        # In the order of the segments, so that each is opened once.
        for block in sorted(missing, key=lambda block: tuple(plan.places[plan.blocks.rows(block)[0]])):
            rows = plan.blocks.rows(block)
            images = self.snapshot.opened().encoded(plan.places_of(rows))
            self._blocks[block] = dict(zip(map(int, rows), images, strict=True))
            self._held += len(rows)
            self._let_go(blocks)

    def _let_go(self, needed: set[int]) -> None:
        while self._held > self._kept_rows and next(iter(self._blocks)) not in needed:
            self._held -= len(self._blocks.popitem(last=False)[1])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_blocks": OrderedDict(), "_held": 0}
