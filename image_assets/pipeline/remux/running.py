"""A remux from beginning to end: find the rows, make the parts that are missing, publish the rest."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_assets.core.errors import ConfigError
from image_assets.engines import local_engine
from image_assets.engines.base import Engine
from image_assets.pipeline.recipe import recipe_id_of, recipe_of
from image_assets.pipeline.remux.columns import Columns, choose_columns
from image_assets.pipeline.remux.functions import function_digest
from image_assets.pipeline.remux.inputs import Dataset, open_dataset
from image_assets.pipeline.remux.journal import Journal, open_journal
from image_assets.pipeline.remux.options import MAX_PARTS, RemuxOptions, remux_settings
from image_assets.pipeline.remux.ordered import InOrder
from image_assets.pipeline.remux.parts import PartWriter, open_part, part_name
from image_assets.pipeline.remux.publishing import Finished, publish
from image_assets.pipeline.remux.reading import TASK_BYTES, Cuts, Selection, Slab, read_slabs, select_rows
from image_assets.pipeline.remux.tasks import Made, Task
from image_assets.pipeline.remux.work import Preparer, RemuxContext
from image_assets.settings import Settings

# Called with how many rows are done, of how many, each time some more are.
OnRows = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RemuxReport:
    """What a remux came to: rows with an output, parts, rows without one, and how many parts were there already."""

    rows: int
    parts: int
    quarantined: int
    resumed_parts: int
    seconds: float


def run_remux(options: RemuxOptions, on_rows: OnRows) -> RemuxReport:
    """Write the parts of a dataset that are not there yet, and then what stands beside them.

    Raises:
        ConfigError: an option is wrong, or does not go with what is in the folder.
        SourceError: the dataset cannot be found or read.
        ImageAssetsError: something else is wrong with more than single images.
        OSError: the disk is full, or the folder cannot be written.
    """
    started_at = time.monotonic()
    settings = remux_settings(options)
    remux = _Remux.find(options, settings)
    with open_journal(options.out_dir, remux.identity(), resume=options.resume) as journal:
        for number in sorted(journal.numbers):
            if not remux.is_there(journal.entry(number)):
                journal.drop(number)
        resumed = len(journal.numbers)
        with local_engine(settings) as engine:
            remux.make_parts(engine, journal, on_rows)
        rows = sum(journal.entry(number)["rows"] for number in journal.numbers)
        publish(options, Finished(remux.selection.name, remux.parts, rows), journal)
    quarantined = remux.selection.rows - rows
    return RemuxReport(rows, remux.parts, quarantined, resumed, time.monotonic() - started_at)


@dataclass(frozen=True, slots=True)
class _Remux:
    """One remux: what is read, and what is written."""

    options: RemuxOptions
    settings: Settings
    dataset: Dataset
    selection: Selection
    columns: Columns

    @classmethod
    def find(cls, options: RemuxOptions, settings: Settings) -> "_Remux":
        """Look at the dataset; only its footers are read."""
        source = Path(options.dataset).expanduser()
        if source.is_dir() and options.out_dir.absolute().is_relative_to(source.absolute()):
            raise ConfigError(f"--out-dir {options.out_dir} lies in the dataset, which it would change; give another")
        dataset = open_dataset(options.dataset, options.subset)
        selection = select_rows(dataset, options.split)
        if not selection.rows:
            raise ConfigError(f"split {options.split!r} of dataset {options.dataset} has no rows")
        columns = choose_columns(selection.pieces[0].table.schema, options, dataset.features)
        remux = cls(options, settings, dataset, selection, columns)
        if remux.parts > MAX_PARTS:
            raise ConfigError(f"{remux.parts} parts are more than {MAX_PARTS}; raise --rows-per-shard")
        return remux

    @property
    def parts(self) -> int:
        """How many parts there will be: each is a fixed range of rows."""
        return -(-self.selection.rows // self.options.rows_per_shard)

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the bytes of the parts; the number of workers does not."""
        options = self.options
        names = ("subset", "split", "image_col", "rows_per_shard", "names", "function")
        identity: dict[str, Any] = {name: getattr(options, name) for name in names}
        identity["seed"] = options.seed
        identity["columns"] = self.columns.output.names
        identity["input"] = {piece.table.name: piece.table.version for piece in self.selection.pieces}
        identity["recipe"] = recipe_of(self.settings)
        if options.function is not None:
            # What a function sees at once may decide what it makes.
            identity["batch_size"] = options.batch_size
            identity["function_source"] = function_digest(options.function)
        schema = self.columns.output.serialize().to_pybytes()
        identity["schema"] = hashlib.sha256(schema).hexdigest()
        normal: dict[str, Any] = json.loads(json.dumps(identity))
        return normal

    def is_there(self, entry: Mapping[str, Any]) -> bool:
        """Return whether the file of a finished part is what it was."""
        path = self.options.out_dir / self._name(entry["part"])
        return path.is_file() and path.stat().st_size == entry["size_bytes"]

    def make_parts(self, engine: Engine, journal: Journal, on_rows: OnRows) -> None:
        """Make the parts that are not finished, in their order."""
        done = sum(self._end(number) - self._start(number) for number in journal.numbers)
        on_rows(done, self.selection.rows)
        slabs: dict[int, Slab] = {}
        preparer = Preparer(self._context())
        results = InOrder(engine, preparer).run(self._tasks(journal.numbers, slabs))
        missing = [number for number in range(self.parts) if number not in journal.numbers]
        turn = 0
        for number in missing:
            path = self.options.out_dir / self._name(number)
            quarantined: list[dict[str, Any]] = []
            with open_part(path, self.columns, self.options.image_format) as part:
                row = self._start(number)
                while row < self._end(number):
                    made = next(results)
                    _add(part, slabs.pop(turn), made, quarantined)
                    turn, row, done = turn + 1, row + len(made), done + len(made)
                    on_rows(done, self.selection.rows)
            entry = {"rows": part.rows, "quarantined": quarantined, "size_bytes": path.stat().st_size}
            journal.finish(number, entry)

    def _tasks(self, finished: frozenset[int], slabs: dict[int, Slab]) -> Iterator[Task]:
        """Yield the tasks of the parts that are missing, and leave in ``slabs`` what they do not carry."""
        given = 0
        by_function = self.options.function is not None
        size = None if by_function else TASK_BYTES
        cuts = Cuts(self.options.batch_size, size, self.options.rows_per_shard)
        for start, end in self._missing_rows(finished):
            for slab in read_slabs(self.dataset.place, self.selection.between(start, end), self.columns, cuts):
                slabs[given] = slab.without_bytes()
                rows = tuple(range(slab.first, slab.first + len(slab.images)))
                columns = slab.others.to_pydict() if by_function and slab.others is not None else None
                yield Task(given, rows, slab.images, columns)
                given += 1

    def _missing_rows(self, finished: frozenset[int]) -> Iterator[tuple[int, int]]:
        """Yield the ranges of rows of parts that are missing, those that follow each other as one."""
        start = None
        for number in range(self.parts + 1):
            missing = number < self.parts and number not in finished
            if missing and start is None:
                start = self._start(number)
            elif not missing and start is not None:
                yield start, self._end(number - 1)
                start = None

    def _context(self) -> RemuxContext:
        options, place = self.options, self.dataset.place
        return RemuxContext(self.settings, recipe_id_of(self.settings), place.root, options.image_col, options.function)

    def _start(self, number: int) -> int:
        return number * self.options.rows_per_shard

    def _end(self, number: int) -> int:
        return min((number + 1) * self.options.rows_per_shard, self.selection.rows)

    def _name(self, number: int) -> str:
        return part_name(number, self.parts, self.selection.name, self.options.names)


def _add(part: PartWriter, slab: Slab, made: tuple[Made, ...], quarantined: list[dict[str, Any]]) -> None:
    part.add(slab, made)
    for each in made:
        if each.data is None:
            quarantined.append({"row": each.row, "reason": each.reason, "detail": each.detail, "sha256": each.sha256})
